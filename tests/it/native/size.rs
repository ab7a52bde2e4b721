use super::gateway;
use crate::common::assert_problem;
use limen_tests::{Client, Origin, body};

const BOUNDS: &str = r#"{ use = "size", with = { body = "100kB", head = "2KiB", target = "256B" } }"#;

#[tokio::test]
async fn bodies_pass_up_to_the_bound_and_no_further() {
    let origin = Origin::start();
    let gateway = gateway(&origin, BOUNDS).await;
    for client in [Client::http1(), Client::http2()] {
        let post = || client.post(gateway.url("/upload"));
        for (length, status) in [(100_000, 200), (100_001, 413), (10 << 20, 413)] {
            let said = post().body(vec![b'x'; length as usize]).send().await;
            assert_eq!(said.status, status, "{length} said");
            let counted = post().stream(body::chunked(length)).send().await;
            assert_eq!(counted.status, status, "{length} counted: {}", counted.text());
            if status == 413 {
                assert_problem(&counted, 413);
            }
        }
    }
    let line = gateway.wait_for_log_containing("bytes have come, more than 100000").await;
    assert!(line.contains("body_too_large"), "{line}");
}

#[tokio::test]
async fn heads_are_bounded() {
    let origin = Origin::start();
    let gateway = gateway(&origin, BOUNDS).await;
    let ask = || Client::http1().get(gateway.url("/"));
    assert_eq!(ask().header("x", &"y".repeat(1900)).send().await.status, 200);
    assert_problem(&ask().header("x", &"y".repeat(2100)).send().await, 431);
    assert_problem(&Client::http1().get(gateway.url(&format!("/{}", "y".repeat(256)))).send().await, 414);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_length_can_be_required() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"{ use = "size", with = { length_required = true } }"#).await;
    for client in [Client::http1(), Client::http2()] {
        assert_eq!(client.get(gateway.url("/")).send().await.status, 200, "no body has no length");
        assert_eq!(client.post(gateway.url("/upload")).body("abc").send().await.status, 200);
        assert_problem(&client.post(gateway.url("/upload")).stream(body::chunked(1000)).send().await, 411);
    }
}
