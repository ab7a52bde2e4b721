//! A client stays with its endpoint: a cookie names it, in a way that says nothing to anybody else.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use http::HeaderMap;
use http::header::{self, HeaderValue};
use limen_config::{Affinity, SameSite};
use sha2::{Digest, Sha256};

use super::balance::cookie;
use super::endpoint::Address;

/// The cookies of an upstream's endpoints.
pub struct Cookies {
    name: String,
    by_value: HashMap<String, usize>,
    lines: Vec<Line>,
}

/// `Set-Cookie` for one endpoint.
struct Line {
    plain: HeaderValue,
    secure: HeaderValue,
}

/// How a request came to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It could have been any other as well.
    Free,
    /// Its cookie names it.
    Kept,
    /// It was chosen, and the client is to be told: over TLS, or in clear.
    New { secure: bool },
}

impl Cookies {
    pub fn new<'a>(terms: &Affinity, upstream: &str, addresses: impl Iterator<Item = &'a Address>) -> Self {
        let mut by_value = HashMap::new();
        let mut lines = Vec::new();
        for (number, address) in addresses.enumerate() {
            let value = value(terms, upstream, address);
            lines.push(line(terms, &value));
            by_value.insert(value, number);
        }
        Cookies { name: terms.cookie.clone(), by_value, lines }
    }

    /// The number of the endpoint that a request's cookie names.
    pub fn named(&self, headers: &HeaderMap) -> Option<usize> {
        let value = std::str::from_utf8(cookie(headers, &self.name)?).ok()?;
        self.by_value.get(value).copied()
    }

    /// Tells the client about a new bond.
    pub fn tell(&self, number: usize, bond: Bond, headers: &mut HeaderMap) {
        let (Bond::New { secure }, Some(line)) = (bond, self.lines.get(number)) else { return };
        let line = if secure { &line.secure } else { &line.plain };
        headers.append(header::SET_COOKIE, line.clone());
    }
}

fn line(terms: &Affinity, value: &str) -> Line {
    let Affinity { cookie, ttl, path, domain, same_site, key: _ } = terms;
    let mut text = format!("{cookie}={value}; Path={path}; HttpOnly");
    // Writing into a string does not fail.
    if let Some(domain) = domain {
        let _ = write!(text, "; Domain={domain}");
    }
    if let Some(ttl) = ttl {
        let _ = write!(text, "; Max-Age={}", ttl.as_secs());
    }
    text += match same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        // Browsers take it only so.
        SameSite::None => "; SameSite=None; Secure",
    };
    let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let secure =
        if *same_site == SameSite::None { header(&text) } else { header(&format!("{text}; Secure")) };
    Line { plain: header(&text), secure }
}

/// 128 bits of an HMAC (RFC 2104) over what the endpoint is.
fn value(terms: &Affinity, upstream: &str, address: &Address) -> String {
    let key = terms.key.as_ref().map_or_else(|| random_key().as_slice(), |key| key.0.as_bytes());
    let who = format!("{upstream}\0{}\0{}", address.host, address.socket());
    let mac = hmac(key, who.as_bytes());
    mac.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > block.len() { hashed.as_slice() } else { key };
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// For those that configure none: another at each start.
fn random_key() -> &'static [u8; 32] {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        // Without randomness there is no TLS either; then cookies can be guessed.
        if random.fill(&mut key).is_err() {
            tracing::error!("no random numbers: set a `key` for `affinity`");
        }
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::{address, terms};

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let mac = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(mac[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn a_cookie_names_an_endpoint_and_tells_nothing() {
        let terms = terms("affinity = { key = \"0123456789abcdef\", ttl = \"1h\" }").affinity.unwrap();
        let addresses = [address(1), address(2)];
        let cookies = Cookies::new(&terms, "users", addresses.iter());
        let mut headers = HeaderMap::new();
        cookies.tell(1, Bond::New { secure: true }, &mut headers);
        cookies.tell(1, Bond::Kept, &mut headers);
        let line = headers.remove(header::SET_COOKIE).unwrap();
        let line = line.to_str().unwrap();
        let (pair, attributes) = line.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; Max-Age=3600; SameSite=Lax; Secure");
        assert!(!line.contains("10.0.0") && pair.len() == "limen-endpoint=".len() + 32, "{line}");
        headers.insert(header::COOKIE, HeaderValue::from_str(&format!("a=b; {pair}")).unwrap());
        assert_eq!(cookies.named(&headers), Some(1));
        // Other upstreams and other keys have other values.
        assert_eq!(Cookies::new(&terms, "orders", addresses.iter()).named(&headers), None);
    }
}
