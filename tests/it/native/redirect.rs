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

#[tokio::test]
async fn what_a_client_writes_leads_nobody_elsewhere() {
    let origin = Origin::start();
    let with = r#"{ use = "redirect", with = { to = "/{request.arguments.to}?back={request.path}", query = "drop" } }"#;
    let gateway = gateway(&origin, with).await;
    let ask = async |path: &str| Client::http1().get(gateway.url(path)).send().await;
    for (asked, location) in [
        ("/a/b?to=new", "/new?back=%2Fa%2Fb"),
        ("/?to=/evil.example", "/%2Fevil.example?back=%2F"),
        ("/?to=%5Cevil.example", "/%5Cevil.example?back=%2F"),
        ("/?to=https://evil.example", "/https%3A%2F%2Fevil.example?back=%2F"),
        ("/?to=a%0D%0Aset-cookie:%20a=b", "/a%0D%0Aset-cookie%3A%20a%3Db?back=%2F"),
    ] {
        let answer = ask(asked).await;
        assert_eq!(answer.header("location"), Some(location), "{asked}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    for nowhere in ["/", "/?to=", "/?to=.."] {
        crate::common::assert_problem(&ask(nowhere).await, 400);
    }
}

#[tokio::test]
async fn an_expression_fills_in_a_part_of_the_host_and_no_more() {
    let origin = Origin::start();
    let with = r#"{ use = "redirect", with = { to = "https://{request.headers['x-region']}.example.com:8443{path}", status = 307 } }"#;
    let gateway = gateway(&origin, with).await;
    let ask = async |region: &str| {
        Client::http1().get(gateway.url("/a?b=c")).header("x-region", region).send().await
    };
    let sent = ask("eu-1").await;
    assert_eq!(
        (sent.status.as_u16(), sent.header("location")),
        (307, Some("https://eu-1.example.com:8443/a?b=c"))
    );
    for sly in
        ["evil.com/", "evil.com?", "evil.com#", "evil.com\\", "evil.com:80", "u@evil.com", "a b", "a.", ""]
    {
        crate::common::assert_problem(&ask(sly).await, 400);
    }
    gateway.wait_for_log_containing("is no part of one").await;
}
