//! The least that a gateway does: a route without policies passes on what comes, both ways.

use limen_tests::{Client, Gateway, Origin};

async fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"

        [upstream.origin]
        endpoints = ["{origin}"]

        [[route]]
        path     = "/**"
        upstream = "origin"
        "#
    ))
    .await
}

#[tokio::test]
async fn a_request_reaches_the_origin_as_it_was_sent() {
    let origin = Origin::start();
    let gateway = gateway(&origin).await;

    let url = gateway.url("/some/path?page=2");
    let answer = Client::http1().get(url).header("x-from", "me").send().await;

    assert_eq!(answer.status, 200);
    let seen = answer.json();
    assert_eq!(seen["method"], "GET");
    assert_eq!(seen["path"], "/some/path");
    assert_eq!(seen["query"], "page=2");
    assert_eq!(seen["headers"]["x-from"], "me");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_body_reaches_the_origin_and_its_answer_comes_back() {
    let origin = Origin::start();
    let gateway = gateway(&origin).await;

    let answer = Client::http1().post(gateway.url("/notes")).body("remember this").send().await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["method"], "POST");
    assert_eq!(answer.json()["body"], "remember this");
}

#[tokio::test]
async fn it_ends_when_told_to() {
    let origin = Origin::start();
    let mut gateway = gateway(&origin).await;

    gateway.sigterm();

    assert!(gateway.wait_exit().await.success());
}
