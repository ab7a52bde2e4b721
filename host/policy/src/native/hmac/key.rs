//! What a signature is verified with, and whom it stands for.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::Consumer;
use crate::vault::{Secret, Vault};

/// A key that is shorter does not protect HMAC (RFC 2104, section 3).
const SHORTEST_SECRET: usize = 32;

/// One of `keys`: one of `secret` and `ed25519`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySettings {
    /// `secret`: the name of a `[secret]` of 32 bytes at least that is shared with the client (hmac-sha256). What is
    /// made with its previous value is accepted, too.
    #[serde(default)]
    secret: Option<String>,
    /// `ed25519`: the client's public key: its 32 bytes in Base64.
    #[serde(default)]
    ed25519: Option<String>,
    /// `consumer`: what the consumer is called. Default: the `keyid`.
    #[serde(default)]
    consumer: Option<String>,
}

pub(super) struct Key {
    pub(super) consumer: String,
    kind: Kind,
}

enum Kind {
    Hmac(Arc<Secret>),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    pub(super) fn new(id: &str, settings: &KeySettings, vault: &Vault) -> Result<Key, String> {
        let consumer = settings.consumer.clone().unwrap_or_else(|| id.to_owned());
        Consumer::new(&consumer).map_err(|_| format!("not the name of a consumer: `{consumer}`"))?;
        let kind = match (&settings.secret, &settings.ed25519) {
            (Some(name), None) => {
                let secret = vault.secrets.get(name).ok_or_else(|| format!("there is no [secret.{name}]"))?;
                if secret.reveal_all().any(|value| value.len() < SHORTEST_SECRET) {
                    return Err(format!("secret `{name}` has less than {SHORTEST_SECRET} bytes"));
                }
                Kind::Hmac(secret.clone())
            }
            (None, Some(key)) => match STANDARD.decode(key) {
                Ok(key) if key.len() == 32 => Kind::Ed25519(UnparsedPublicKey::new(&ED25519, key)),
                _ => return Err("`ed25519` is not 32 bytes in Base64".to_owned()),
            },
            _ => return Err("one of `secret` and `ed25519` is needed".to_owned()),
        };
        Ok(Key { consumer, kind })
    }

    /// Whether this signature is one of this key; an error if it says that it is something else.
    pub(super) fn verifies(
        &self,
        alg: Option<&str>,
        base: &[u8],
        signature: &[u8],
    ) -> Result<bool, &'static str> {
        let (own, verified) = match &self.kind {
            Kind::Hmac(secret) => ("hmac-sha256", secret.is_hmac_sha256(base, signature)),
            Kind::Ed25519(key) => ("ed25519", key.verify(base, signature).is_ok()),
        };
        match alg {
            Some(alg) if alg != own => Err("its `alg` is not that of its key"),
            _ => Ok(verified),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key(settings: Value, secret: &[u8]) -> Result<Key, String> {
        let mut vault = Vault::default();
        vault.secrets.insert("s".into(), Arc::new(Secret::new("s", secret.to_vec(), None)));
        Key::new("one", &serde_json::from_value(settings).unwrap(), &vault)
    }

    #[test]
    fn the_signatures_of_the_standard_are_verified() {
        // RFC 9421, appendix B.2.5, B.2.6 and B.1.
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
                    \"content-type\": application/json\n\"@signature-params\": (\"date\" \"@authority\" \
                    \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        let secret = STANDARD
            .decode(
                "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
            )
            .unwrap();
        let signature = STANDARD.decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=").unwrap();
        let shared = key(json!({ "secret": "s" }), &secret).unwrap();
        assert_eq!(shared.verifies(None, base.as_bytes(), &signature), Ok(true));
        assert_eq!(shared.verifies(Some("hmac-sha256"), base.as_bytes(), &signature), Ok(true));
        assert_eq!(shared.verifies(None, b"else", &signature), Ok(false));
        assert_eq!(
            shared.verifies(None, base.as_bytes(), &signature[..16]),
            Ok(false),
            "a part of one is none"
        );
        assert!(shared.verifies(Some("ed25519"), base.as_bytes(), &signature).is_err());

        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\
                    \"@authority\": example.com\n\"content-type\": application/json\n\"content-length\": 18\n\
                    \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \
                    \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
        let signature = STANDARD
            .decode(
                "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
            )
            .unwrap();
        let public = json!({ "ed25519": "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=" });
        assert_eq!(key(public, b"").unwrap().verifies(None, base.as_bytes(), &signature), Ok(true));
    }

    #[test]
    fn mistakes_are_told() {
        for (settings, said) in [
            (json!({}), "one of `secret` and `ed25519`"),
            (json!({ "secret": "t" }), "there is no [secret.t]"),
            (json!({ "secret": "s" }), "less than 32 bytes"),
            (json!({ "ed25519": "AA==" }), "not 32 bytes"),
            (json!({ "secret": "s", "consumer": "" }), "not the name of a consumer"),
        ] {
            let told = key(settings, b"short").map(|_| ()).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
    }
}
