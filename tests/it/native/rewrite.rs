use super::{gateway, mistake};
use crate::common::assert_problem;
use limen_tests::{Client, Origin};

#[tokio::test]
async fn the_upstream_is_asked_for_something_else() {
    let origin = Origin::start();
    let with = r#"{ use = "rewrite", with = { match = "/v1/{id}/**", path = "/internal/{id}/{rest}", method = "PUT", host = "users.internal", query = { remove = ["debug"], set = { source = "api" } } } }"#;
    let gateway = gateway(&origin, with).await;
    let asked = Client::http1().get(gateway.url("/v1/7/a%2Fb/c?debug=1&k=v")).send().await.json();
    assert_eq!(asked["method"], "PUT");
    assert_eq!(asked["path"], "/internal/7/a%2Fb/c", "{asked}");
    assert_eq!(asked["query"], "k=v&source=api", "{asked}");
    assert_eq!(asked["headers"]["host"], "users.internal", "{asked}");
    let asked = Client::http2().get(gateway.url("/v1/7?source=x")).send().await.json();
    assert_eq!((&asked["path"], &asked["query"]), (&"/internal/7".into(), &"source=api".into()), "{asked}");
    let asked = Client::http1().get(gateway.url("/v2/7?debug=1")).send().await.json();
    assert_eq!((&asked["path"], &asked["method"]), (&"/v2/7".into(), &"GET".into()), "it does not match");
}

#[tokio::test]
async fn what_becomes_no_path_is_refused() {
    let origin = Origin::start();
    let with = r#"{ use = "rewrite", with = { regex = "/x(?<a>.*)", path = "/{a}/y" } }"#;
    let gateway = gateway(&origin, with).await;
    assert_problem(&Client::http1().get(gateway.url("/x..")).send().await, 400);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "rewrite", with = { match = "/v1/{id}", path = "/{name}" } }"#).await;
    assert!(
        said.contains("policy `rewrite`: an unknown name `{name}`") && said.contains("with.path"),
        "{said}"
    );
}

#[tokio::test]
async fn expressions_fill_in_paths_and_queries_and_nothing_breaks_out() {
    let origin = Origin::start();
    let with = r#"{ use = "rewrite", with = { path = "/t/{request.headers[\"x-tenant\"]}{path}", query = { set = { who = "{request.headers[\"x-tenant\"]}" } } } }"#
        .replace("\\\"", "'");
    let gateway = gateway(&origin, &with).await;
    let ask = async |tenant: &str| {
        Client::http1().get(gateway.url("/orders?who=root&k=v")).header("x-tenant", tenant).send().await
    };
    for (tenant, path) in [("acme", "/t/acme/orders"), ("../admin?x#y", "/t/..%2Fadmin%3Fx%23y/orders")] {
        let asked = ask(tenant).await.json();
        assert_eq!(asked["path"], path, "{asked}");
        let who: String = if tenant == "acme" { tenant.into() } else { "..%2Fadmin%3Fx%23y".into() };
        assert_eq!(asked["query"], format!("k=v&who={who}"), "{asked}");
    }
    let before = origin.requests();
    for tenant in ["..", "."] {
        assert_problem(&ask(tenant).await, 400);
    }
    assert_problem(&Client::http1().get(gateway.url("/orders")).send().await, 400);
    gateway.wait_for_log_containing("x-tenant").await;
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn expressions_fill_in_the_host_and_the_method_and_nothing_breaks_out() {
    let origin = Origin::start();
    let with = r#"{ use = "rewrite", with = { path = "/new", host = "{request.headers['x-tenant']}.internal:8080", method = "{request.headers['x-method']}" } }"#;
    let gateway = gateway(&origin, with).await;
    let ask = async |client: Client, tenant: &str, method: &str| {
        let asked = client.get(gateway.url("/old")).header("x-tenant", tenant);
        asked.header("x-method", method).send().await
    };
    for client in [Client::http1(), Client::http2()] {
        let asked = ask(client, "acme", "PATCH").await.json();
        assert_eq!(asked["headers"]["host"], "acme.internal:8080", "{asked}");
        assert_eq!((&asked["method"], &asked["path"]), (&"PATCH".into(), &"/new".into()), "{asked}");
    }
    let before = origin.requests();
    for tenant in ["evil.com:80", "u@evil", "evil.com/x", "evil.com?", "evil.com#", "a b", "a.", ".", ""] {
        assert_problem(&ask(Client::http1(), tenant, "GET").await, 400);
    }
    gateway.wait_for_log_containing("is no part of one").await;
    for method in ["CONNECT", "GET /x HTTP/1.1", "a,b", ""] {
        assert_problem(&ask(Client::http1(), "acme", method).await, 400);
    }
    gateway.wait_for_log_containing("`method` comes to is none").await;
    assert_eq!(origin.requests(), before);
}
