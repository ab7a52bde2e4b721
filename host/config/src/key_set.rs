//! `[key_set.NAME]`

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use toml::de::DeValue;

use crate::Place;
use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::{Value, boolean, choice, duration, file_to_be_opened, readable_file, some, string};

section! {
    /// `[key_set.NAME]`: the keys that tokens (JWT, RFC 7519) are verified with, and what a token has to
    /// say beside. Keys come from one of `jwks_url`, `discovery`, `jwks`, `pem` and `secret`. A key verifies the
    /// algorithms of its own type and no others. A token needs an `exp`; `nbf` counts where it is there.
    ///
    /// Keys by URL are fetched before the gateway serves, if that takes no more than 3 s, and again and again
    /// beside its workers. As long as there are none, requests whose tokens need them get 503; if the issuer is
    /// gone later, those that are there serve on for `max_stale`.
    pub struct KeySet(section, name: &str, secrets: &Unique, complete: bool) {
        /// What grants call it.
        pub name: String = Some(name.to_owned()),

        /// `jwks_url`: the address of a JWK Set, like "https://id.example.com/.well-known/jwks.json": 1 MiB and 64
        /// keys at most. Keys in it that can't be used are left out. Up to 3 redirects are followed.
        pub jwks_url: Option<Uri> = section.optional("jwks_url", |value| url(value, section)),

        /// `discovery`: the issuer's own address, like "https://id.example.com": its configuration (OpenID Connect
        /// Discovery, `/.well-known/openid-configuration`) says where its keys are, and has to name it as `issuer`.
        pub discovery: Option<Uri> = section.optional("discovery", |value| url(value, section)),

        /// `roots`: a PEM file with the certificates that are trusted instead of the system's when keys are
        /// fetched.
        pub roots: Option<PathBuf> = section.optional("roots", readable_file),

        /// `plain_http`: true fetches keys over `http://`, too. Whoever is on the way can then sign tokens.
        /// Default false.
        pub plain_http: bool = section.or("plain_http", boolean, false),

        /// `refresh`: how long fetched keys are used before they are fetched again, less up to a fifth of it by
        /// chance. A shorter time in the answer (`Cache-Control: max-age`) counts, but never less than 30s. What
        /// failed is tried again after 1s to 1m. 1s to 24h; default 10m.
        pub refresh: Duration = section.or("refresh", duration(REFRESH), Duration::from_secs(600)),

        /// `max_stale`: how long keys are used beyond that while they can't be fetched. 0s to 720h; default 24h.
        pub max_stale: Duration = section.or("max_stale", duration(MAX_STALE), Duration::from_secs(24 * 3600)),

        /// `timeout`: how long one fetch may take. 10ms to 1m; default 5s.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), Duration::from_secs(5)),

        /// `cooldown`: a token with an unknown `kid` has the keys fetched at once, but no sooner than this after
        /// they were last fetched. 1s to 1h; default 10s.
        pub cooldown: Duration = section.or("cooldown", duration(COOLDOWN), Duration::from_secs(10)),

        /// `wait`: how long a request waits for such a fetch. What has no key by then is refused. 0s to 30s;
        /// default 900ms, a little less than what a plugin may take.
        pub wait: Duration = section.or("wait", duration(WAIT), Duration::from_millis(900)),

        /// `jwks`: the path of a file with a JWK Set (RFC 7517). Keys for encryption are left out; one that
        /// can't be used, a shared secret among them, is a mistake.
        pub jwks: Option<PathBuf> = section.optional("jwks", file_to_be_opened),

        /// `pem`: the paths of files with a public key each (`BEGIN PUBLIC KEY`, `BEGIN RSA PUBLIC KEY`): RSA
        /// from 2048 bits, P-256, P-384 or Ed25519. They verify tokens with any `kid`.
        pub pem: Vec<PathBuf> = section.or("pem", some(file_to_be_opened), Vec::new()),

        /// `secret`: the name of a `[secret.NAME]` that is shared with who issues tokens, of 32 bytes at least for
        /// HS256, 48 for HS384, 64 for HS512. Tokens made with its previous value are accepted, too.
        pub secret: Option<String> = section.optional("secret", |value| secrets.refer(value, "the name of a secret", complete)),

        /// `algorithms`: which are accepted, like `["RS256"]`. Default: all that the keys can verify.
        pub algorithms: Option<Vec<&'static str>> = section.optional("algorithms", some(choice(ALGORITHMS))),

        /// `issuer`: what `iss` has to be: one, or an array of which it has to be one. Default: what `discovery`
        /// says, else anything.
        pub issuer: Vec<String> = section.or("issuer", one_or_more, itself(section)),

        /// `audience`: what `aud` has to contain: one, or an array of which it has to contain one.
        /// Default: anything.
        pub audience: Vec<String> = section.or("audience", one_or_more, Vec::new()),

        /// `leeway`: how much clocks may differ, at `exp` and `nbf`. 0s to 1h; default 1m.
        pub leeway: Duration = section.or("leeway", duration(Duration::ZERO..=Duration::from_secs(3600)), Duration::from_secs(60)),

        /// Where it stands in the file.
        pub place: Place = from_one_place(section),
    }
}

impl KeySet {
    /// The files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.jwks.iter().chain(&self.pem).chain(&self.roots)
    }

    /// Where its keys are fetched from, if they are.
    pub fn url(&self) -> Option<&Uri> {
        self.jwks_url.as_ref().or(self.discovery.as_ref())
    }
}

const REFRESH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const MAX_STALE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(720 * 3600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const COOLDOWN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30);

/// What says how keys are fetched.
const OF_FETCHING: [&str; 7] = ["roots", "plain_http", "refresh", "max_stale", "timeout", "cooldown", "wait"];

const ALGORITHMS: &[(&str, &str)] = &[
    ("RS256", "RS256"),
    ("RS384", "RS384"),
    ("RS512", "RS512"),
    ("PS256", "PS256"),
    ("PS384", "PS384"),
    ("PS512", "PS512"),
    ("ES256", "ES256"),
    ("ES384", "ES384"),
    ("EdDSA", "EdDSA"),
    ("HS256", "HS256"),
    ("HS384", "HS384"),
    ("HS512", "HS512"),
];

fn from_one_place(section: &Section<'_>) -> Option<Place> {
    const EXPECTED: &str = "one of `jwks_url`, `discovery`, `jwks`, `pem` and `secret`";
    let is_there = |key: &&&str| section.peek(key).is_some();
    let is_fetched = ["jwks_url", "discovery"].iter().any(|key| section.peek(key).is_some());
    match ["jwks_url", "discovery", "jwks", "pem", "secret"].iter().filter(is_there).count() {
        1 => match OF_FETCHING.iter().find(is_there) {
            Some(key) if !is_fetched => section.fail(
                &format!("`{key}` for keys that are not fetched"),
                "it only beside `jwks_url` or `discovery`",
            ),
            _ => Some(section.place()),
        },
        0 if !section.is_understood() => None,
        0 => section.fail("a key set without keys", EXPECTED),
        _ => section.fail("keys from several places", EXPECTED),
    }
}

/// The address of something that is fetched.
fn url(value: &Value<'_>, section: &Section<'_>) -> Option<Uri> {
    let is_plain = section.peek("plain_http").and_then(DeValue::as_bool) == Some(true);
    let expected = if is_plain {
        "an address like \"http://id.internal/keys\""
    } else {
        "an address like \"https://id.example.com\""
    };
    let text = value.text(expected)?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) && !text.contains('#')
    });
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => uri,
        Some("http") if is_plain => uri,
        Some("http") => value.fail(
            value
                .error("keys over plain HTTP: whoever is on the way could sign tokens")
                .expected(expected)
                .hint("add `plain_http = true` where the way is safe"),
        ),
        _ => value.fail(value.error(format!("not an address: `{text}`")).expected(expected)),
    }
}

/// The issuer that is asked itself.
fn itself(section: &Section<'_>) -> Vec<String> {
    let discovery = section.peek("discovery").and_then(DeValue::as_str);
    discovery.and_then(|written| crate::env::expand(written).ok()).into_iter().collect()
}

fn one_or_more(value: &Value<'_>) -> Option<Vec<String>> {
    match value.inner {
        DeValue::String(_) => Some(vec![string(value)?]),
        DeValue::Array(_) => some(string)(value),
        _ => value.wrong_type("a string or an array of strings"),
    }
}
