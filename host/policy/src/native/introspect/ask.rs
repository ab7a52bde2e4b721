//! Asking an issuer whether a token is a good one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;

use super::memory::Said;
use crate::native::settings::SettingsError;
use crate::vault::Secret;
use crate::{Call, Exchange, FetchError, add_call_header, call_head};

/// The largest answer, in bytes.
const LARGEST: usize = 64 << 10;

/// Whoever knows.
pub(super) struct Issuer {
    upstream: String,
    /// With all its headers.
    head: Request<()>,
    timeout: Duration,
}

/// Why it is not known, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unavailable(pub(super) String);

impl Issuer {
    pub(super) fn new(
        upstream: String,
        path: &str,
        credentials: Option<(&str, &Arc<Secret>)>,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        let head = call_head("POST", path);
        let mut head = head.ok_or_else(|| SettingsError::new("/path", format!("not a path: `{path}`")))?;
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("accept", "application/json".to_owned()),
        ];
        if let Some((client, secret)) = credentials {
            // Each is encoded as in a form first (RFC 6749, section 2.3.1).
            let encode = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
            let pair = format!("{}:{}", encode(client.as_bytes()), encode(secret.reveal()));
            headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
        }
        for (name, value) in headers {
            let unfit = |_| SettingsError::new("", "its credentials can't be sent");
            add_call_header(&mut head, name, &value).map_err(unfit)?;
        }
        head.headers_mut().iter_mut().for_each(|(name, value)| {
            value.set_sensitive(name == http::header::AUTHORIZATION);
        });
        Ok(Issuer { upstream, head, timeout })
    }

    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    pub(super) async fn ask(&self, exchange: &Exchange, token: &str) -> Result<Said, Unavailable> {
        let fetch = exchange.route.fetch.clone();
        let fetch = fetch.ok_or_else(|| Unavailable("nobody is there to ask it".to_owned()))?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let body = Bytes::from(form.finish());
        let call = Call::new(exchange, &self.upstream, self.head.clone(), body, Some(self.timeout));
        let unanswered = |error: FetchError| Unavailable(error.to_string());
        let mut answer = fetch.fetch(call).await.map_err(unanswered)?;
        if answer.head.status() != StatusCode::OK {
            return Err(Unavailable(format!("it answers {}", answer.head.status())));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.body.piece().await {
            body.extend_from_slice(&piece.map_err(unanswered)?);
            if body.len() > LARGEST {
                return Err(Unavailable(format!("its answer has more than {LARGEST} bytes")));
            }
        }
        understand(&body)
    }
}

/// What it says (RFC 7662, section 2.2).
fn understand(body: &[u8]) -> Result<Said, Unavailable> {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let active = said.as_ref().and_then(|said| said.get("active")).and_then(Value::as_bool);
    match (said, active) {
        (Some(said), Some(true)) => Ok(Said::Active(Arc::new(said))),
        (_, Some(false)) => Ok(Said::Inactive),
        _ => Err(Unavailable("its answer does not say whether the token is `active`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_is_active() {
        assert!(matches!(understand(br#"{"active":true,"sub":"ada"}"#), Ok(Said::Active(_))));
        assert_eq!(understand(br#"{"active":false}"#), Ok(Said::Inactive));
        for body in ["", "{}", "[]", "true", r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"sub":"ada"}"#] {
            assert!(understand(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn credentials_are_sent_as_the_standard_has_them() {
        let secret = Arc::new(Secret::new("s", b"a b:c".to_vec(), None));
        let issuer = Issuer::new("idp".into(), "/x", Some(("me", &secret)), Duration::ZERO).unwrap();
        let sent = issuer.head.headers()["authorization"].to_str().unwrap();
        assert_eq!(sent, format!("Basic {}", STANDARD.encode("me:a+b%3Ac")));
        assert!(!format!("{:?}", issuer.head).contains(sent), "it is in no log");
        assert!(Issuer::new("idp".into(), "x", None, Duration::ZERO).is_err());
    }
}
