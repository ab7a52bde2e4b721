//! `redirect = "https"`

use super::config;
use limen_tests::{Client, Gateway, Origin, wire};

#[tokio::test]
async fn clear_text_is_sent_to_https_with_its_host_path_and_query() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        config(&origin, "redirect = \"https\"")
            + "[[listener]]\nname = \"other-port\"\naddress = \"127.0.0.1:0\"\nredirect = \"https:8443\"\n",
    )
    .await;
    for client in [Client::http1(), Client::http2()] {
        let answer = client.get(gateway.url("/a%20b/?c=d&e")).host("api.example.com:8080").send().await;
        assert_eq!(answer.status, 308);
        assert_eq!(answer.header("location"), Some("https://api.example.com/a%20b/?c=d&e"));
        let answer = client.post(gateway.url_of("other-port", "/x")).host("api.example.com").send().await;
        assert_eq!(answer.header("location"), Some("https://api.example.com:8443/x"));
    }
    let nowhere = wire::exchange(gateway.addr("it"), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(nowhere.starts_with("HTTP/1.0 400"), "{nowhere}");
    assert_eq!(origin.requests(), 0);
}
