//! The part of WebSocket's handshake (RFC 6455, section 4.2.2) that HTTP/2 does without.

use http::HeaderMap;
use http::header::{self, HeaderValue};
use sha1::{Digest, Sha1};

/// What proves that the other side has read this very handshake.
pub struct Key(String);

impl Key {
    pub fn random() -> Self {
        Key(base64(&fastrand::u128(..).to_ne_bytes()))
    }

    pub fn put(&self, headers: &mut HeaderMap) {
        if let Ok(key) = HeaderValue::try_from(self.0.as_str()) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
    }

    pub fn is_accepted(&self, headers: &HeaderMap) -> bool {
        headers.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| *accept == self.proof())
    }

    fn proof(&self) -> String {
        proof(self.0.as_bytes())
    }
}

/// What a server answers to this key.
pub fn proof(key: &[u8]) -> String {
    base64(&Sha1::digest([key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * n) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if n <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_of_the_rfc() {
        let key = Key("dGhlIHNhbXBsZSBub25jZQ==".to_owned());
        assert_eq!(key.proof(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"the sample nonce"), key.0);
        assert_eq!(
            (base64(b"a"), base64(b"ab"), base64(b"abc")),
            ("YQ==".into(), "YWI=".into(), "YWJj".into())
        );
        assert_eq!(Key::random().0.len(), 24);
    }
}
