//! What stands in place of `@WORD@` in requests and in Envoy's configuration: tokens, keys and signatures.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::{SystemTime, UNIX_EPOCH};

pub const SECRET: &str = "a shared secret of thirty-two bytes and more";

/// Whose token [`TOKEN`] is. The private key is gone.
pub const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"one","x":"Yd47fiDnR8KRjDsv3QBMoa8Rlf5k4j5xcoce93hHAzM","y":"SLTw7Ec2C5a7ht2ePfU-zvS8iFNfRwkXZ1SBd2hrxsI"}]}"#;

/// Of ada, for orders, until 2100.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.\
    eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoib3JkZXJzIiwic3ViIjoiYWRhIiwic2NvcGUiOiJvcmRlcnM6cmVhZCIsImV4cCI6NDEwMjQ0NDgwMH0.\
    ScTrAhU0ou4PbF6Q5YgMZVizVje9POys3n6b22kRHmD4Vc1g9TtizBozjg0D_I1CuwTSux-sfIh2IX9kv8JVSQ";

pub struct Words(Vec<(&'static str, String)>);

impl Words {
    /// With this API key; signatures count for an hour from now.
    pub fn new(key: String) -> Words {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let signed = format!("(\"@method\");created={now};keyid=\"partner\"");
        let base = format!("\"@method\": GET\n\"@signature-params\": {signed}");
        let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&secret, base.as_bytes()));
        Words(vec![
            ("@JWKS@", JWKS.into()),
            ("@TOKEN@", TOKEN.into()),
            ("@FORGED@", TOKEN.replace(".ScTr", ".TcTr")),
            ("@KEY@", key),
            ("@SIGNED@", signed),
            ("@SIGNATURE@", signature),
        ])
    }

    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning))
    }
}
