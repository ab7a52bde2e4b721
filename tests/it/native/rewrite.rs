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
