//! `affinity` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::value::{Value, choice, duration, string};

use crate::condition::cookie_name;

section! {
    /// `affinity = { cookie = "limen-endpoint" }`: a client stays with the endpoint that answered it
    /// first, as long as that is there and healthy; else it gets another, and stays with that one. The
    /// gateway sets a cookie for it, which names the endpoint without telling where it is. An answer
    /// that sets it should not be cached; the gateway leaves `Cache-Control` as it is.
    pub struct Affinity(section) {
        /// `cookie`: its name. Default "limen-endpoint".
        pub cookie: String = section.or("cookie", cookie_name, "limen-endpoint".to_owned()),

        /// `ttl`: how long the client keeps it (`Max-Age`), 1s to 8760h, from the last answer that set
        /// it. Left out: until the browser is closed.
        pub ttl: Option<Duration> = section.optional("ttl", duration(TTL)),

        /// `path`: below which path the client sends it. Default "/".
        pub path: String = section.or("path", attribute, "/".to_owned()),

        /// `domain`: to which hosts the client sends it. Left out: only to the one it asked.
        pub domain: Option<String> = section.optional("domain", attribute),

        /// `same_site`: "lax" (default), "strict" or "none". The cookie is always `HttpOnly`, and
        /// `Secure` when the client came by TLS or this is "none".
        pub same_site: SameSite = section.or("same_site", choice(SAME_SITE), SameSite::Lax),

        /// `key`: what the cookie's values are made with, 16 bytes or more; best from the environment,
        /// "${AFFINITY_KEY}". Gateways with the same key understand each other's cookies. Left out: a
        /// random one, so that clients are sent to new endpoints after a restart of the gateway.
        pub key: Option<AffinityKey> = section.optional("key", AffinityKey::read),
    }
}

/// Which requests from other sites carry the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// A secret: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AffinityKey(pub String);

const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(8760 * 3600);
const SAME_SITE: &[(&str, SameSite)] =
    &[("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];

impl AffinityKey {
    fn read(value: &Value<'_>) -> Option<AffinityKey> {
        let text = string(value)?;
        if text.len() < 16 {
            return value.fail(value.error("too short a key").expected("16 bytes or more, hard to guess"));
        }
        Some(AffinityKey(text))
    }
}

impl std::fmt::Debug for AffinityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AffinityKey(..)")
    }
}

/// The value of an attribute of a cookie (RFC 6265, section 4.1.1).
fn attribute(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "visible characters without `;`";
    let text = value.text(EXPECTED)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
        return value.fail(value.error(format!("not an attribute of a cookie: `{text}`")).expected(EXPECTED));
    }
    Some(text)
}
