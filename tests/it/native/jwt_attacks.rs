//! Known attacks on tokens, each by its name in public lists (jwt_tool and its playbook, PortSwigger's labs, ZAP's scanner, the
//! CVEs that they cite), with what the log says of it.

use crate::capabilities::jwt::now;
use crate::common::{assert_problem, config, route};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use limen_tests::rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use limen_tests::{Client, Gateway, Origin};
use serde_json::{Value, json};

const RSA_PRIVATE: &str = include_str!("../../../host/policy/src/vault/key_set/testdata/rsa.key");
const RSA_PUBLIC: &str = include_str!("../../../host/policy/src/vault/key_set/testdata/rsa.pem");

const MALFORMED: &str = "not a signed token";
const NO_KEY: &str = "no key of the set";
const WRONG: &str = "its signature is wrong";

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A set with the RSA key `rsa` and the P-256 key `ec`.
struct Keys {
    rsa: EncodingKey,
    ec: EncodingKey,
    jwks: Value,
}

impl Keys {
    fn new() -> Keys {
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
        let ec = EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap();
        let jwk = |key: &EncodingKey, algorithm, id: &str| {
            let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(key, algorithm).unwrap();
            let mut jwk = serde_json::to_value(jwk).unwrap();
            jwk["kid"] = id.into();
            jwk
        };
        let jwks = json!({ "keys": [jwk(&rsa, Algorithm::RS256, "rsa"), jwk(&ec, Algorithm::ES256, "ec")] });
        Keys { rsa, ec, jwks }
    }

    fn sign(&self, header: &str, claims: &str, algorithm: Algorithm) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let key = if algorithm == Algorithm::ES256 { &self.ec } else { &self.rsa };
        let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example.com", "aud": "api", "sub": "root", "exp": now() + 300 })
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    claims.to_string()
}

/// The token with an HMAC by this secret.
fn hmac(header: &Value, claims: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims));
    let signature =
        crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[tokio::test]
async fn known_attacks_do_not_pass() {
    let (origin, keys) = (Origin::start(), Keys::new());
    let set = "[key_set.idp]\njwks = \"idp.json\"\nissuer = \"https://id.example.com\"\naudience = \"api\"\nleeway = \"0s\"\n\
               [log]\naccess = true\n";
    let policy = route("/**", r#"{ use = "jwt", with = { keys = "idp" } }"#);
    let gateway = Gateway::with(config(&origin, &format!("{set}{policy}")));
    let gateway = gateway.file("idp.json", keys.jwks.to_string()).start().await;
    let ask = async |token: &str| {
        let asked = Client::http1().get(gateway.url("/")).header("authorization", &format!("Bearer {token}"));
        asked.send().await
    };

    let plain = claims().to_string();
    let rs = |header: &str| keys.sign(header, &plain, Algorithm::RS256);
    let es = |header: &str| keys.sign(header, &plain, Algorithm::ES256);
    let good = rs(r#"{"alg":"RS256","kid":"rsa"}"#);
    let good_ec = es(r#"{"alg":"ES256","kid":"ec"}"#);
    for token in [&good, &good_ec] {
        assert_eq!(ask(token).await.status, 200, "what the attacks begin with is a good one");
    }
    let before = origin.requests();
    let parts: Vec<_> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let ec_message = good_ec.rsplit_once('.').unwrap().0;
    let mut raw = URL_SAFE_NO_PAD.decode(signature).unwrap();

    let mut attacks: Vec<(String, String, &str)> = Vec::new();
    let mut attack = |name: &str, token: String, why| attacks.push((name.to_owned(), token, why));

    // No signature at all (CVE-2015-2951, CVE-2020-28042).
    for alg in ["none", "None", "NONE", "nOnE", "null", "", " RS256", "rs256", "RS256\\u0000"] {
        let header = encode(format!(r#"{{"alg":"{alg}","kid":"rsa"}}"#));
        attack(&format!("alg {alg:?}"), format!("{header}.{body}."), MALFORMED);
        attack(&format!("alg {alg:?}, signed"), format!("{header}.{body}.{signature}"), MALFORMED);
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":0}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"typ":"JWT"}"#,
        "[]",
        "null",
        "",
    ] {
        attack(&format!("header {header}"), format!("{}.{body}.{signature}", encode(header)), MALFORMED);
    }
    attack("null signature", format!("{head}.{body}."), WRONG);
    attack("no signature", format!("{head}.{body}"), MALFORMED);
    attack("another message", format!("{head}.{}.{signature}", encode(with("sub", "admin".into()))), WRONG);

    // The public key as a shared secret (CVE-2016-10555), in each form that somebody may have it in.
    let der = STANDARD
        .decode(RSA_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect::<String>())
        .unwrap();
    for (form, secret) in [
        ("PEM", RSA_PUBLIC.as_bytes()),
        ("PEM without its last line break", RSA_PUBLIC.trim_end().as_bytes()),
        ("DER", &der),
        ("JWKS", keys.jwks.to_string().as_bytes()),
        ("modulus", keys.jwks["keys"][0]["n"].as_str().unwrap().as_bytes()),
        ("blank password", b""),
    ] {
        for header in [json!({ "alg": "HS256", "kid": "rsa" }), json!({ "alg": "HS256" })] {
            attack(&format!("key confusion, {form}"), hmac(&header, &plain, secret), NO_KEY);
        }
    }
    attack("one type's token with the other's key", es(r#"{"alg":"ES256","kid":"rsa"}"#), NO_KEY);
    attack("one type's signature with the other's name", rs(r#"{"alg":"ES256","kid":"ec"}"#), WRONG);
    attack("an algorithm of the family that was not meant", es(r#"{"alg":"ES384","kid":"ec"}"#), NO_KEY);

    // A `kid` that becomes a path, a query or a command (CVE-2018-0114 and its kin).
    for kid in [
        "../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "x' UNION SELECT 'secret';--",
        "rsa' OR '1'='1",
        "rsa\\u0000",
        "rsa|id",
        "http://127.0.0.1/keys",
        "${jndi:ldap://127.0.0.1/}",
        "",
        "RSA",
    ] {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        let message = format!("{}.{body}", encode(&header));
        let secret = EncodingKey::from_secret(b"\0");
        let forged = crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
        attack(&format!("kid {kid:?}"), format!("{message}.{forged}"), NO_KEY);
        attack(&format!("kid {kid:?}, signed"), rs(&header.replace("HS256", "RS256")), NO_KEY);
    }
    attack("a kid that is a number", rs(r#"{"alg":"RS256","kid":1}"#), MALFORMED);

    // Keys that the token brings itself, or says where to get.
    let own = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let own = EncodingKey::from_ec_pem(own.serialize_pem().as_bytes()).unwrap();
    let jwk =
        serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(&own, Algorithm::ES256).unwrap())
            .unwrap();
    let here = origin.url("/keys");
    for (what, value) in [
        ("jwk", jwk),
        ("jku", json!(here)),
        ("x5u", json!(here)),
        ("x5c", json!(["MIIB"])),
        ("iss_jwks_uri", json!(here)),
    ] {
        for kid in [json!("ec"), Value::Null] {
            let mut header = json!({ "alg": "ES256", "kid": kid, what: value });
            if kid.is_null() {
                header.as_object_mut().unwrap().remove("kid");
            }
            let message = format!("{}.{body}", encode(header.to_string()));
            let forged = crypto::sign(message.as_bytes(), &own, Algorithm::ES256).unwrap();
            attack(&format!("a key in `{what}`"), format!("{message}.{forged}"), WRONG);
        }
    }

    // What has to be understood and isn't (RFC 7515, section 4.1.11; RFC 7797).
    for header in [
        r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":["bork"]}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":[]}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":"exp"}"#,
    ] {
        attack(header, rs(header), MALFORMED);
    }
    let unencoded = format!("{}.{plain}", encode(r#"{"alg":"RS256","kid":"rsa","b64":false}"#));
    let signed = crypto::sign(unencoded.as_bytes(), &keys.rsa, Algorithm::RS256).unwrap();
    attack("b64 false", format!("{unencoded}.{signed}"), MALFORMED);

    // Two readers that see two things.
    attack("alg twice", rs(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#), MALFORMED);
    attack("kid twice", rs(r#"{"alg":"RS256","kid":"ec","kid":"rsa"}"#), MALFORMED);
    attack("something after the header", rs(r#"{"alg":"RS256","kid":"rsa"}{}"#), MALFORMED);
    attack("parts of an encrypted token", format!("{head}..{body}.{body}.{signature}"), MALFORMED);
    attack("one part more", format!("{good}.{signature}"), MALFORMED);
    attack("two tokens", format!("{good},{good}"), MALFORMED);
    attack(
        "JSON serialisation",
        json!({ "payload": body, "protected": head, "signature": signature }).to_string(),
        MALFORMED,
    );

    // A signature that is not one (CVE-2022-21449), a part of one, or one and more.
    for zero in [vec![0; 64], vec![], vec![0; 8], STANDARD.decode("MAYCAQACAQA=").unwrap()] {
        attack("psychic signature", format!("{ec_message}.{}", encode(zero)), WRONG);
    }
    let ec_raw = URL_SAFE_NO_PAD.decode(good_ec.rsplit_once('.').unwrap().1).unwrap();
    for raw in [&ec_raw[..63], &ec_raw[..32], &[&ec_raw[..], &[0]].concat(), &[&[0], &ec_raw[..]].concat()] {
        attack("ECDSA signature of another length", format!("{ec_message}.{}", encode(raw)), WRONG);
    }
    attack("signature cut off", format!("{head}.{body}.{}", encode(&raw[..raw.len() - 1])), WRONG);
    attack(
        "signature with a zero behind it",
        format!("{head}.{body}.{}", encode([&raw[..], &[0]].concat())),
        WRONG,
    );
    attack(
        "null byte in the signature",
        format!("{head}.{body}.{}", encode([&raw[..8], &[0]].concat())),
        WRONG,
    );
    raw[0] ^= 1;
    attack("one bit of the signature", format!("{head}.{body}.{}", encode(&raw)), WRONG);

    // Other spellings of the same bytes.
    raw[0] ^= 1;
    attack("padding", format!("{head}.{body}.{}", URL_SAFE.encode(&raw)), MALFORMED);
    attack("padding of the claims", format!("{head}.{}.{signature}", body.to_owned() + "="), WRONG);
    attack("space within", format!("{head}.{body}.{} {}", &signature[..9], &signature[9..]), MALFORMED);
    let last = signature.chars().last().unwrap();
    let next = char::from(last as u8 + 1);
    attack(
        "bits behind the end",
        format!("{head}.{body}.{}{next}", &signature[..signature.len() - 1]),
        MALFORMED,
    );
    attack("percent-encoded", good.replace('.', "%2E"), MALFORMED);

    // Claims.
    let claimed = |claims: String| keys.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &claims, Algorithm::RS256);
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims.to_string()
    };
    for (claims, why) in [
        (with("exp", (now() - 2).into()), "it has expired"),
        (with("exp", 0.into()), "it has expired"),
        (with("exp", Value::from(-1)), ""),
        (with("exp", "9999999999".into()), MALFORMED),
        (with("exp", Value::Null), MALFORMED),
        (with("exp", json!([now() + 300])), MALFORMED),
        (without("exp"), MALFORMED),
        (with("exp", json!(0)).replace("\"exp\":0", "\"exp\":1e400"), MALFORMED),
        (with("nbf", (now() + 60).into()), "not valid yet"),
        (with("nbf", "soon".into()), ""),
        (with("iss", "https://id.example.com.evil.example".into()), "another issuer"),
        (with("iss", "https://id.example.com/".into()), "another issuer"),
        (with("iss", json!(["https://id.example.com"])), "another issuer"), // CVE-2025-30144
        (without("iss"), "another issuer"),
        (with("aud", "apis".into()), "another audience"),
        (with("aud", json!(["other"])), "another audience"),
        (with("aud", json!({ "api": true })), ""),
        (with("aud", 1.into()), ""),
        (with("aud", json!([])), "another audience"),
        (without("aud"), "another audience"),
        (with("sub", Value::Null), "no claim `sub`"),
        (with("sub", json!({ "id": "root" })), MALFORMED),
        (with("sub", "root\r\nx-admin: 1".into()), "control characters"),
        (with("sub", "x".repeat(300).into()), "too long"),
        ("[]".to_owned(), ""),
        ("null".to_owned(), ""),
        ("{".to_owned(), MALFORMED),
    ] {
        attack(&format!("claims {}", &claims[..claims.len().min(90)]), claimed(claims.clone()), why);
    }
    // Deep enough to end a careless parser, and long.
    attack("depth", claimed(format!("{}{}", "[".repeat(3000), "]".repeat(3000))), MALFORMED);
    attack("length", format!("{head}.{}.{signature}", "A".repeat(7000)), WRONG);

    let mut amiss = Vec::new();
    for (name, token, why) in &attacks {
        gateway.forget_log();
        let refused = ask(token).await;
        let challenge = refused.header("www-authenticate").unwrap_or_default().to_owned();
        if refused.status != 401 || !challenge.starts_with("Bearer error=\"invalid_token\"") {
            amiss.push(format!("{name}: {} {challenge} {}", refused.status, refused.text()));
            continue;
        }
        assert_problem(&refused, 401);
        let line = gateway.wait_for_log_containing("is not accepted by").await;
        if !line.contains(why) || token.len() > 20 && line.contains(&**token) {
            amiss.push(format!("{name}: {why:?} is not in {line}"));
        }
    }
    assert!(amiss.is_empty(), "{}\nof {}", amiss.join("\n"), attacks.len());
    assert!(attacks.len() > 120, "{}", attacks.len());
    assert_eq!(origin.requests(), before, "the upstream saw none of them, and was asked for no keys");
    assert_eq!(ask(&good).await.status, 200);
}
