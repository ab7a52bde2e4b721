//! Answers by itself what the gateway computes of the header `x-data`: `x-signed` with the secret that the
//! header `x-secret` names, whether `x-tag` is that (`x-verified`), and its plain hashes. All in hexadecimal digits.

use limen::prelude::*;
use limen::{crypto, secrets};
use std::io::Read;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Whether `configure` leaves a handle of the host open, so that it has to run in each isolate.
    #[serde(default)]
    holds_handle: bool,
}

struct Hashes {
    /// What `configure` was told of the secret `webhook`.
    configured: String,
}

#[limen::policy]
impl Hashes {
    fn configure(config: Config) -> Result<Self> {
        if config.holds_handle {
            // Nothing is there to be read, and the C library keeps what it asked.
            let _ = std::io::stdin().read(&mut [0]);
        }
        Ok(Hashes { configured: format!("{:?}", secrets::hmac_sha256("webhook", "data")) })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let header = |name: &str| request.header(name).unwrap_or_default();
        let (data, secret, tag) = (header("x-data"), header("x-secret"), header("x-tag"));
        let signed = match secrets::hmac_sha256(&secret, &data) {
            Ok(tag) => hex(&tag),
            Err(error) => format!("{error:?}"),
        };
        let verified = secrets::hmac_sha256_verify(&secret, &data, unhex(&tag));
        let reply = Reply::new(200)
            .header("x-configured", self.configured.clone())
            .header("x-signed", signed)
            .header("x-verified", format!("{verified:?}"))
            .header("x-sha256", hex(&crypto::sha256(&data)))
            .header("x-sha512", hex(&crypto::sha512(&data)))
            .header("x-hmac-sha256", hex(&crypto::hmac_sha256("key", &data)))
            .header("x-hmac-sha512", hex(&crypto::hmac_sha512("key", &data)))
            .header("x-equal", format!("{} {}", crypto::equal(&data, &data), crypto::equal(&data, "other")));
        Ok(reply.into())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len() / 2).filter_map(|number| digits(number * 2)).collect()
}
