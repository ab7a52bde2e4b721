//! Tokens are verified by the gateway, with keys that are configured.

use crate::common::{PATIENT, config, guest_plugin_with, route};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use limen_tests::rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use limen_tests::{Answer, Client, Gateway, Origin, Setup, eventually};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &str = "a shared secret of thirty-two bytes and more";
const SETS: &str = r#"
    [secret.shared]
    file = "shared.secret"
    [key_set.idp]
    jwks     = "idp.json"
    issuer   = "https://id.example.com"
    audience = ["api", "web"]
    leeway   = "10s"
    [key_set.partner]
    pem = ["partner.pem"]
    [key_set.own]
    secret = "shared"
    algorithms = ["HS256"]
    [key_set.ungranted]
    secret = "shared"
"#;
const GRANTED: &str = r#"grants = { key_sets = ["idp", "partner", "own"] }"#;

fn config_with(origin: &Origin, grants: &str) -> String {
    let plugin = guest_plugin_with("verifies-tokens", &format!("{grants}\n{PATIENT}"));
    config(origin, &[SETS, &plugin, &route("/**", r#""verifies-tokens""#)].join("\n"))
}

/// Whoever issues tokens.
pub struct Issuer {
    key: KeyPair,
}

impl Issuer {
    pub fn new() -> Issuer {
        Issuer { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn encoding(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap()
    }

    pub fn jwks(&self, id: &str) -> String {
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.encoding(), Algorithm::ES256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = id.into();
        json!({ "keys": [jwk] }).to_string()
    }

    pub fn sign(&self, id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(id.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.encoding()).unwrap()
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(name: &str, value: Value) -> Value {
    let mut claims =
        json!({ "iss": "https://id.example.com", "aud": "api", "sub": "ada", "exp": now() + 300 });
    claims[name] = value;
    claims
}

fn setup(text: &str, idp: &Issuer, partner: &KeyPair) -> Setup {
    let setup = Gateway::with(text).file("shared.secret", SECRET).file("idp.json", idp.jwks("one"));
    setup.file("partner.pem", partner.public_key_pem())
}

async fn show(gateway: &Gateway, key_set: &str, token: &str) -> Answer {
    let request = Client::http1().get(gateway.url("/")).header("authorization", &format!("Bearer {token}"));
    request.header("x-key-set", key_set).send().await
}

#[tokio::test]
async fn tokens_are_accepted_or_told_why_not() {
    let (origin, idp, partner) =
        (Origin::start(), Issuer::new(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let gateway = setup(&config_with(&origin, GRANTED), &idp, &partner).start().await;
    let good = claims("plan", "gold".into());
    let accepted = show(&gateway, "idp", &idp.sign("one", &good)).await;
    assert_eq!((accepted.status.as_u16(), accepted.json()), (200, good.clone()));

    for (token, why) in [
        (idp.sign("two", &good), "UnknownKey"),
        (Issuer::new().sign("one", &good), "BadSignature"),
        (idp.sign("one", &claims("exp", (now() - 60).into())), "Expired"),
        (idp.sign("one", &claims("nbf", (now() + 60).into())), "NotYetValid"),
        (idp.sign("one", &claims("iss", "https://evil.example.com".into())), "WrongIssuer"),
        (idp.sign("one", &claims("aud", "other".into())), "WrongAudience"),
        ("not.a.token".into(), "Malformed"),
    ] {
        let refused = show(&gateway, "idp", &token).await;
        assert_eq!((refused.status.as_u16(), refused.header("x-error")), (401, Some(why)), "{token}");
    }
    for denied in ["ungranted", "unheard-of"] {
        assert_eq!(show(&gateway, denied, &idp.sign("one", &good)).await.header("x-error"), Some("Denied"));
    }

    let ed = EncodingKey::from_ed_pem(partner.serialize_pem().as_bytes()).unwrap();
    let ed = encode(&Header::new(Algorithm::EdDSA), &good, &ed).unwrap();
    assert_eq!(show(&gateway, "partner", &ed).await.status, 200);
    let shared = |algorithm, secret: &[u8]| {
        encode(&Header::new(algorithm), &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    assert_eq!(show(&gateway, "own", &shared(Algorithm::HS256, SECRET.as_bytes())).await.status, 200);
    let narrowed = show(&gateway, "own", &shared(Algorithm::HS512, SECRET.as_bytes())).await;
    assert_eq!(narrowed.header("x-error"), Some("UnknownKey"));
    // The public key as the secret of an HMAC.
    let confused = shared(Algorithm::HS256, partner.public_key_pem().as_bytes());
    assert_eq!(show(&gateway, "partner", &confused).await.header("x-error"), Some("UnknownKey"));
}

#[tokio::test]
async fn new_keys_are_taken_over_while_it_runs() {
    let (origin, idp, partner) =
        (Origin::start(), Issuer::new(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let gateway = setup(&config_with(&origin, GRANTED), &idp, &partner).start().await;
    let next = Issuer::new();
    let token = next.sign("two", &claims("plan", "gold".into()));
    assert_eq!(show(&gateway, "idp", &token).await.header("x-error"), Some("UnknownKey"));
    gateway.replace_file("idp.json", next.jwks("two"));
    eventually("the new keys", async || (show(&gateway, "idp", &token).await.status == 200).then_some(()))
        .await;

    // A file that is broken changes nothing.
    gateway.replace_file("idp.json", "{");
    gateway.wait_for_log_containing("key set `idp`").await;
    assert_eq!(show(&gateway, "idp", &token).await.status, 200);
}

#[tokio::test]
async fn without_the_grant_it_is_not_loaded() {
    let (origin, idp, partner) =
        (Origin::start(), Issuer::new(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    for (grants, said) in [
        ("", "the component imports `jwt`, which it is not granted"),
        (r#"grants = { key_sets = ["ipd"] }"#, "no key_set `ipd`"),
    ] {
        let refused = setup(&config_with(&origin, grants), &idp, &partner).check().await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(said), "{said:?} is not in {}", refused.stderr);
    }
}
