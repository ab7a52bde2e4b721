use super::gateway;
use limen_tests::{Client, Origin};

#[tokio::test]
async fn some_are_sent_elsewhere_and_others_go_on() {
    let origin = Origin::start();
    let with = r#"{ use = "redirect", with = { match = "/old/**", to = "https://{host}/new/{rest}", status = 302 } }"#;
    let gateway = gateway(&origin, with).await;
    let answer = Client::http1().get(gateway.url("/old/a/b?c=d")).host("shop.example:80").send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, Some("https://shop.example/new/a/b?c=d"))
    );
    assert_eq!(origin.requests(), 0);
    assert_eq!(Client::http1().get(gateway.url("/older")).send().await.status, 200);
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"{ use = "redirect", with = { to = "https://{host}{path}" } }"#).await;
    let answer = Client::http1().get(gateway.url("/a")).header("host", "").send().await;
    assert_eq!(answer.status, 400, "{:?}", answer.headers);
}
