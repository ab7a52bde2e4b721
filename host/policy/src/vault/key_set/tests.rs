//! Tokens of every kind, good and forged.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a shared secret of thirty-two bytes and more";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn terms() -> TokenTerms {
    TokenTerms {
        issuers: vec!["https://id.example.com".into()],
        audiences: vec!["api".into(), "web".into()],
        leeway: Duration::from_secs(60),
        ..TokenTerms::default()
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example.com", "aud": ["api"], "sub": "ada", "exp": now() + 300 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn sign(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn shared() -> KeySet {
    KeySet::new("shared", vec![Key::of_secret(SECRET).unwrap()], &terms()).unwrap()
}

#[test]
fn claims_are_checked() {
    let set = shared();
    assert_eq!(set.verify(&sign(&claims())).unwrap()["sub"], "ada");
    for (claims, error) in [
        (with("exp", (now() - 61).into()), TokenError::Expired),
        (with("exp", Value::Null), TokenError::Malformed),
        (with("exp", "soon".into()), TokenError::Malformed),
        (with("nbf", (now() + 100).into()), TokenError::NotYetValid),
        (with("iss", "https://evil.example.com".into()), TokenError::WrongIssuer),
        (with("iss", Value::Null), TokenError::WrongIssuer),
        (with("aud", "other".into()), TokenError::WrongAudience),
        (with("aud", json!([])), TokenError::WrongAudience),
        (with("aud", Value::Null), TokenError::WrongAudience),
    ] {
        assert_eq!(set.verify(&sign(&claims)), Err(error), "{claims}");
    }
    assert!(set.verify(&sign(&with("exp", (now() - 30).into()))).is_ok(), "within the leeway");
    assert!(set.verify(&sign(&with("nbf", (now() + 30).into()))).is_ok());
    assert!(set.verify(&sign(&with("aud", "web".into()))).is_ok(), "one of those that are accepted");

    let lenient =
        KeySet::new("lenient", vec![Key::of_secret(SECRET).unwrap()], &TokenTerms::default()).unwrap();
    assert!(lenient.verify(&sign(&json!({ "exp": now() + 300, "aud": "any" }))).is_ok());
}

#[test]
fn forgeries_are_refused() {
    let set = shared();
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes, or more");
    let forged = encode(&Header::new(Algorithm::HS256), &claims(), &other).unwrap();
    assert_eq!(set.verify(&forged), Err(TokenError::BadSignature));

    let token = sign(&claims());
    let parts: Vec<_> = token.split('.').collect();
    // {"alg":"none"}
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        assert_eq!(set.verify(&format!("{header}.{}.", parts[1])), Err(TokenError::Malformed));
        assert_eq!(set.verify(&format!("{header}.{}.{}", parts[1], parts[2])), Err(TokenError::Malformed));
    }
    for broken in
        ["", ".", "..", "a.b.c", parts[0], &format!("{}.{}", parts[0], parts[1]), &format!("{token}.x")]
    {
        assert_eq!(set.verify(broken), Err(TokenError::Malformed), "{broken}");
    }
    assert_eq!(set.verify(&format!("{}.{}.", parts[0], parts[1])), Err(TokenError::BadSignature));
    assert_eq!(set.verify(&"x".repeat(LONGEST_TOKEN + 1)), Err(TokenError::Malformed));

    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".into()]);
    let critical = encode(&critical, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(set.verify(&critical), Err(TokenError::Malformed));
}

/// Made once with `openssl genpkey`, for these tests only.
const EC_PRIVATE: &str = include_str!("testdata/p256.key");
const EC_PUBLIC: &str = include_str!("testdata/p256.pem");
const RSA_PRIVATE: &str = include_str!("testdata/rsa.key");
const RSA_PUBLIC: &str = include_str!("testdata/rsa.pem");

#[test]
fn a_key_verifies_its_own_type_only() {
    let set = KeySet::new("pem", vec![Key::of_pem(RSA_PUBLIC.as_bytes()).unwrap()], &terms()).unwrap();
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    for algorithm in [Algorithm::RS256, Algorithm::RS512, Algorithm::PS384] {
        assert!(
            set.verify(&encode(&Header::new(algorithm), &claims(), &rsa).unwrap()).is_ok(),
            "{algorithm:?}"
        );
    }
    // The classic: the public key, which everybody has, as the secret of an HMAC.
    let confused = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let confused = encode(&Header::new(Algorithm::HS256), &claims(), &confused).unwrap();
    assert_eq!(set.verify(&confused), Err(TokenError::UnknownKey));

    let ec = EncodingKey::from_ec_pem(EC_PRIVATE.as_bytes()).unwrap();
    let ec = encode(&Header::new(Algorithm::ES256), &claims(), &ec).unwrap();
    assert_eq!(set.verify(&ec), Err(TokenError::UnknownKey));
    let both = vec![Key::of_pem(RSA_PUBLIC.as_bytes()).unwrap(), Key::of_pem(EC_PUBLIC.as_bytes()).unwrap()];
    let narrowed = TokenTerms { algorithms: Some(vec!["ES256"]), ..terms() };
    let both = KeySet::new("both", both, &narrowed).unwrap();
    assert!(both.verify(&ec).is_ok());
    let narrowed = both.verify(&encode(&Header::new(Algorithm::RS256), &claims(), &rsa).unwrap());
    assert_eq!(narrowed, Err(TokenError::UnknownKey));
}

#[test]
fn a_kid_chooses_the_key() {
    let ec = EncodingKey::from_ec_pem(EC_PRIVATE.as_bytes()).unwrap();
    let jwk = |id: &str| {
        let mut jwk =
            serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(&ec, Algorithm::ES256).unwrap());
        jwk.as_mut().unwrap()["kid"] = id.into();
        jwk.unwrap()
    };
    let jwks =
        json!({ "keys": [jwk("a"), { "kty": "RSA", "use": "enc", "kid": "e", "n": "AQAB", "e": "AQAB" }] });
    let set = KeySet::new("jwks", Key::of_jwks(jwks.to_string().as_bytes()).unwrap(), &terms()).unwrap();
    let token = |id: Option<&str>| {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims(), &ec).unwrap()
    };
    assert!(set.verify(&token(Some("a"))).is_ok());
    assert!(set.verify(&token(None)).is_ok(), "without a `kid` each key is tried");
    assert_eq!(set.verify(&token(Some("b"))), Err(TokenError::UnknownKey));
    let pem = KeySet::new("pem", vec![Key::of_pem(EC_PUBLIC.as_bytes()).unwrap()], &terms()).unwrap();
    assert!(pem.verify(&token(Some("b"))).is_ok(), "a key without a `kid` verifies tokens with any");
}

#[test]
fn keys_that_cannot_be_used_are_told() {
    let error = |result: Result<Key, KeyError>| result.map(|_| ()).unwrap_err().0;
    assert!(error(Key::of_pem(b"hello")).contains("no PEM"));
    assert!(error(Key::of_pem(EC_PRIVATE.as_bytes())).contains("not a public key"));
    assert!(error(Key::of_pem(format!("{EC_PUBLIC}\n{RSA_PUBLIC}").as_bytes())).contains("more than one"));
    assert!(error(Key::of_secret(b"short")).contains("less than 32 bytes"));
    let of_length = |bytes| Key::of_secret(&vec![b'x'; bytes]).unwrap().algorithms;
    assert_eq!(of_length(47), [Algorithm::HS256], "each needs as many bytes as its hash has");
    assert_eq!(of_length(63), [Algorithm::HS256, Algorithm::HS384]);
    assert_eq!(of_length(64), [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]);
    let jwks =
        |keys: Value| Key::of_jwks(json!({ "keys": keys }).to_string().as_bytes()).map(|_| ()).unwrap_err().0;
    assert!(jwks(json!([])).contains("no key for signatures"));
    let wraps = json!([{ "kty": "RSA", "key_ops": ["encrypt", "wrapKey"], "n": "AQAB", "e": "AQAB" }]);
    assert!(jwks(wraps).contains("no key for signatures"));
    assert!(jwks(json!([{ "kty": "oct", "kid": "o", "k": "AQAB" }])).contains("`o` is a shared secret"));
    let confused = json!([{ "kty": "RSA", "alg": "HS256", "n": "AQAB", "e": "AQAB" }]);
    assert!(jwks(confused).contains("`alg`, HS256"));
    assert!(Key::of_jwks(b"{}").map(|_| ()).unwrap_err().0.contains("no JWK Set"));
    let narrowed = TokenTerms { algorithms: Some(vec!["RS256"]), ..terms() };
    let none = KeySet::new("none", vec![Key::of_secret(SECRET).unwrap()], &narrowed).unwrap_err().0;
    assert!(none.contains("no key that verifies"), "{none}");
}
