//! `[key_set.NAME]`

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::Place;
use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::{Value, choice, duration, file_to_be_opened, some, string};

section! {
    /// `[key_set.NAME]`: the keys that tokens (JWT, RFC 7519) are verified with, and what a token has to
    /// say beside. Keys come from one of `jwks`, `pem` and `secret`. A key verifies the algorithms of its own
    /// type and no others. A token needs an `exp`; `nbf` counts where it is there.
    pub struct KeySet(section, name: &str, secrets: &Unique, complete: bool) {
        /// What grants call it.
        pub name: String = Some(name.to_owned()),

        /// `jwks`: the path of a file with a JWK Set (RFC 7517). Keys for encryption are left out; one that
        /// can't be used, a shared secret among them, is a mistake.
        pub jwks: Option<PathBuf> = section.optional("jwks", file_to_be_opened),

        /// `pem`: the paths of files with a public key each (`BEGIN PUBLIC KEY`, `BEGIN RSA PUBLIC KEY`): RSA
        /// from 2048 bits, P-256, P-384 or Ed25519. They verify tokens with any `kid`.
        pub pem: Vec<PathBuf> = section.or("pem", some(file_to_be_opened), Vec::new()),

        /// `secret`: the name of a `[secret.NAME]` that is shared with who issues tokens, of 32 bytes at least
        /// (HS256, HS384, HS512). Tokens made with its previous value are accepted, too.
        pub secret: Option<String> = section.optional("secret", |value| secrets.refer(value, "the name of a secret", complete)),

        /// `algorithms`: which are accepted, like `["RS256"]`. Default: all that the keys can verify.
        pub algorithms: Option<Vec<&'static str>> = section.optional("algorithms", some(choice(ALGORITHMS))),

        /// `issuer`: what `iss` has to be: one, or an array of which it has to be one. Default: anything.
        pub issuer: Vec<String> = section.or("issuer", one_or_more, Vec::new()),

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
        self.jwks.iter().chain(&self.pem)
    }
}

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
    const EXPECTED: &str = "one of `jwks`, `pem` and `secret`";
    match ["jwks", "pem", "secret"].iter().filter(|key| section.peek(key).is_some()).count() {
        1 => Some(section.place()),
        0 if !section.is_understood() => None,
        0 => section.fail("a key set without keys", EXPECTED),
        _ => section.fail("keys from several places", EXPECTED),
    }
}

fn one_or_more(value: &Value<'_>) -> Option<Vec<String>> {
    match value.inner {
        DeValue::String(_) => Some(vec![string(value)?]),
        DeValue::Array(_) => some(string)(value),
        _ => value.wrong_type("a string or an array of strings"),
    }
}
