use crate::capabilities::jwt::{Issuer, now};
use crate::common::{assert_problem, config, route};
use limen_tests::{Answer, Client, Gateway, Origin};
use serde_json::{Value, json};

const IDP: &str = "[key_set.idp]\njwks = \"idp.json\"\naudience = \"api\"\n[log]\naccess = true\n";

async fn gateway(origin: &Origin, idp: &Issuer, with: &str) -> Gateway {
    let policy = format!("{{ use = \"jwt\", with = {{ keys = \"idp\", {with} }} }}");
    let text = config(origin, &format!("{IDP}{}", route("/**", &policy)));
    Gateway::with(text).file("idp.json", idp.jwks("one")).start().await
}

fn claims(more: Value) -> Value {
    let mut claims = json!({ "aud": "api", "sub": "ada", "exp": now() + 300 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    let asked = Client::http1().get(gateway.url("/")).header("authorization", &format!("Bearer {token}"));
    asked.header("x-user", "root").send().await
}

#[tokio::test]
async fn a_token_lets_pass_and_names_the_consumer() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let gateway =
        gateway(&origin, &idp, r#"headers = { x-user = "sub", x-roles = "roles" }, strip = true"#).await;
    let passed = ask(&gateway, &idp.sign("one", &claims(json!({ "roles": ["a", "b"] })))).await;
    let seen = &passed.json()["headers"];
    assert_eq!(
        (passed.status.as_u16(), &seen["x-user"], &seen["x-roles"]),
        (200, &json!("ada"), &json!("a,b"))
    );
    assert!(seen["authorization"].is_null(), "{seen}");
    gateway.wait_for_log(|line| line.contains("consumer") && line.contains("ada")).await;

    let before = origin.requests();
    let nobody = Client::http1().get(gateway.url("/")).header("x-user", "root").send().await;
    assert_problem(&nobody, 401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let expired = idp.sign("one", &claims(json!({ "exp": now() - 90 })));
    for (token, why, challenge) in [
        (expired, "it has expired", "Bearer error=\"invalid_token\", error_description=\"it has expired\""),
        (idp.sign("two", &claims(json!({}))), "no key of the set", "Bearer error=\"invalid_token\""),
        (
            Issuer::new().sign("one", &claims(json!({}))),
            "its signature is wrong",
            "Bearer error=\"invalid_token\"",
        ),
        (
            idp.sign("one", &claims(json!({ "aud": "other" }))),
            "another audience",
            "Bearer error=\"invalid_token\"",
        ),
        (
            idp.sign("one", &claims(json!({ "sub": null }))),
            "no claim `sub`",
            "Bearer error=\"invalid_token\"",
        ),
        (
            idp.sign("one", &claims(json!({ "sub": "a\nb" }))),
            "control characters",
            "Bearer error=\"invalid_token\"",
        ),
        ("nonsense".into(), "not a signed token", "Bearer error=\"invalid_token\""),
        ("a".repeat(7000), "not a signed token", "Bearer error=\"invalid_token\""),
    ] {
        gateway.forget_log();
        let refused = ask(&gateway, &token).await;
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some(challenge), "{why}");
        let line = gateway.wait_for_log_containing(why).await;
        assert!(line.contains("unauthorized") && !line.contains(&token), "{line}");
    }
    assert_eq!(origin.requests(), before, "the upstream saw none of them");
}

#[tokio::test]
async fn scopes_and_claims_are_asked_for() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let with = r#"scopes = ["read", "write"], claims = { tenant = "acme", role = ["admin", "ops"] }"#;
    let gateway = gateway(&origin, &idp, with).await;
    let good = json!({ "scope": "write read more", "tenant": "acme", "role": ["ops", "dev"] });
    assert_eq!(ask(&gateway, &idp.sign("one", &claims(good.clone()))).await.status, 200);
    let listed = json!({ "scp": ["read", "write"], "tenant": ["acme"], "role": "admin" });
    assert_eq!(ask(&gateway, &idp.sign("one", &claims(listed))).await.status, 200);
    for (name, value) in [
        ("scope", json!("read")),
        ("scope", json!("readwrite")),
        ("scope", json!(7)),
        ("tenant", json!("other")),
        ("tenant", json!(null)),
        ("role", json!("dev")),
        ("role", json!([])),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let refused = ask(&gateway, &idp.sign("one", &claims(bad))).await;
        assert_problem(&refused, 403);
        let challenge = match name {
            "scope" => "Bearer error=\"insufficient_scope\", scope=\"read write\"",
            _ => "Bearer error=\"insufficient_scope\"",
        };
        assert_eq!(refused.header("www-authenticate"), Some(challenge));
    }
}

#[tokio::test]
async fn a_token_is_looked_for_where_it_may_be() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let with = r#"from = [{ header = "x-token" }, { cookie = "session" }, { query = "token" }], optional = true, strip = true, headers = { x-user = "sub" }"#;
    let gateway = gateway(&origin, &idp, with).await;
    let token = idp.sign("one", &claims(json!({})));
    let get = |path: &str| Client::http1().get(gateway.url(path)).header("x-user", "root");
    for asked in [
        get("/").header("x-token", &token),
        get("/").header("cookie", &format!("a=1; session={token}")),
        get(&format!("/?token={token}&a=1")),
        get(&format!("/?token={token}&a=1"))
            .header("x-token", &token)
            .header("cookie", &format!("session={token}")),
    ] {
        let seen = asked.send().await.json();
        assert_eq!(seen["headers"]["x-user"], "ada");
        assert!(!seen.to_string().contains(&token), "{seen}");
    }
    let nobody = get("/").send().await;
    assert_eq!((nobody.status.as_u16(), &nobody.json()["headers"]["x-user"]), (200, &Value::Null));
    assert_problem(
        &get("/").header("x-token", "bad").header("cookie", &format!("session={token}")).send().await,
        401,
    );
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    for (with, place, message) in [
        (r#"keys = "ipd""#, "with.keys", "there is no [key_set.ipd]"),
        (r#"keys = "idp", scope = ["x"]"#, "with", "unknown field `scope`, expected one of"),
        (r#"keys = "idp", from = [{ heder = "x" }]"#, "with.from[0]", "unknown variant `heder`"),
        (r#"keys = "idp", headers = { host = "sub" }"#, "with.headers.host", "`host` belongs to the gateway"),
    ] {
        let policy = format!("{{ use = \"jwt\", with = {{ {with} }} }}");
        let text = config(&origin, &format!("{IDP}{}", route("/**", &policy)));
        let checked = Gateway::with(text).file("idp.json", idp.jwks("one")).check().await;
        assert_eq!(checked.status.code(), Some(1));
        assert!(checked.stderr.contains(message) && checked.stderr.contains(place), "{}", checked.stderr);
    }
}
