use super::{gateway, mistake};
use crate::capabilities::jwt::{Issuer, now};
use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Origin};
use serde_json::{Value, json};

const IDP: &str = "[key_set.idp]\njwks = \"idp.json\"\n[log]\naccess = true\n[policy.login]\nuse = \"jwt\"\nwith = { keys = \"idp\", optional = true }\n";

#[tokio::test]
async fn what_a_token_says_decides() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let rules = r#""login", { use = "authorize", with = { scopes = ["orders:read"], roles = ["clerk", "admin"], roles_from = "realm.roles", conditions = ['request.method == "GET" || "admin" in claims.realm.roles'] } }"#;
    let text = config(&origin, &format!("{IDP}{}", route("/**", rules)));
    let gateway = Gateway::with(text).file("idp.json", idp.jwks("one")).start().await;
    let clerk = json!({ "scope": "orders:read", "realm": { "roles": ["clerk"] } });
    let admin = json!({ "scope": "orders:read x", "realm": { "roles": ["admin"] } });
    for (claims, method, status, why) in [
        (&clerk, "GET", 200, ""),
        (&clerk, "DELETE", 403, "does not hold"),
        (&admin, "DELETE", 200, ""),
        (&json!({ "scope": "orders:write" }), "GET", 403, "lacks the scope `orders:read`"),
        (&json!({ "scope": "orders:read" }), "GET", 403, "none of the roles"),
    ] {
        let mut all = json!({ "sub": "ada", "exp": now() + 300 });
        all.as_object_mut().unwrap().extend(Value::as_object(claims).unwrap().clone());
        let token = format!("Bearer {}", idp.sign("one", &all));
        let asked = Client::http1()
            .request(method.parse().unwrap(), gateway.url("/"))
            .header("authorization", &token)
            .send()
            .await;
        assert_eq!(asked.status, status, "{method} {claims}");
        if status == 403 {
            assert_problem(&asked, 403);
            let challenge = asked.header("www-authenticate").unwrap();
            assert!(
                challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\"orders:"),
                "{challenge}"
            );
            assert!(!asked.text().contains(why), "the client reads nothing of the inside");
            gateway.wait_for_log_containing(why).await;
        }
    }
    let before = origin.requests();
    assert_problem(&Client::http1().get(gateway.url("/")).send().await, 403);
    gateway.wait_for_log_containing("no policy before this one has found out who asks").await;
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn conditions_need_nobody_to_be_known() {
    let origin = Origin::start();
    let rule = r#"{ use = "authorize", with = { conditions = ['request.headers["x-tenant"] == request.parameters.tenant'], unless = ['request.arguments.debug == "1"'] } }"#;
    let rest = format!("[log]\naccess = true\n{}", route("/{tenant}/**", rule));
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for (target, tenant, status) in [
        ("/acme/x?debug=0", Some("acme"), 200),
        ("/acme/x?debug=1", Some("acme"), 403),
        ("/acme/x?debug=0", Some("other"), 403),
        ("/acme/x?debug=0", None, 403),
        ("/acme/x", Some("acme"), 403), // what can't be computed does not let pass
    ] {
        let asked = Client::http1().get(gateway.url(target));
        let asked = match tenant {
            Some(tenant) => asked.header("x-tenant", tenant),
            None => asked,
        };
        assert_eq!(asked.send().await.status, status, "{target} {tenant:?}");
    }
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said =
        mistake(r#"{ use = "authorize", with = { conditions = ["true", 'request.metod == "GET"'] } }"#).await;
    assert!(said.contains("there is no `request.metod`; did you mean `request.method`?"), "{said}");
    assert!(said.contains("with.conditions[1]"), "{said}");
    let origin = Origin::start();
    gateway(&origin, r#"{ use = "authorize", with = { conditions = ["true"] } }"#).await;
}
