use super::{gateway, mistake};
use crate::common::assert_problem;
use limen_tests::{Answer, Client, Gateway, Origin};

const APP: &str = "https://app.example.com";

async fn preflight(gateway: &Gateway, origin: &str, method: &str, headers: &str) -> Answer {
    let asked = Client::http1().request(http::Method::OPTIONS, gateway.url("/bytes/1"));
    let asked = asked.header("origin", origin).header("access-control-request-method", method);
    asked.header("access-control-request-headers", headers).send().await
}

#[tokio::test]
async fn preflights_are_answered_before_anybody_is_asked_for_a_key() {
    let origin = Origin::start();
    let cors = r#"{ use = "cors", with = { origins = ["https://app.example.com"], credentials = true } }"#;
    let nobody = r#"{ use = "ip", with = { allow = [] } }"#;
    let gateway = gateway(&origin, &format!("{cors}, {nobody}")).await;
    let agreed = preflight(&gateway, APP, "PUT", "Authorization,content-type").await;
    assert_eq!((agreed.status.as_u16(), origin.requests()), (204, 0));
    assert_eq!(agreed.header("access-control-allow-origin"), Some(APP));
    assert_eq!(agreed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(agreed.header("access-control-allow-methods"), Some("PUT"));
    assert_eq!(agreed.header("access-control-allow-headers"), Some("Authorization,content-type"));
    assert_eq!(agreed.header("access-control-max-age"), Some("600"));
    let vary: Vec<_> = agreed.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.join(",").contains("origin"), "{vary:?}");

    for (from, method, headers) in
        [("https://evil.example", "PUT", ""), (APP, "TRACE", ""), (APP, "PUT", "content-type,x-secret")]
    {
        let refused = preflight(&gateway, from, method, headers).await;
        assert_problem(&refused, 403);
        let vary: Vec<_> = refused.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin"], "once");
        if from != APP {
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
    }
    // Others are asked for what a request needs, and the page may read why it was refused.
    let refused = Client::http1().get(gateway.url("/")).header("origin", APP).send().await;
    assert_problem(&refused, 403);
    assert_eq!(refused.header("access-control-allow-origin"), Some(APP));
}

#[tokio::test]
async fn responses_say_whose_pages_may_read_them() {
    let origin = Origin::start();
    let said = r#"{ use = "headers", with = { response = { set = { access-control-allow-origin = "*", access-control-expose-headers = "x-all" } } } }"#;
    let cors = r#"{ use = "cors", with = { origins = ["https://app.example.com", "https://*.example.org"], expose = ["x-total"] } }"#;
    let gateway = gateway(&origin, &format!("{cors}, {said}")).await;
    let ask = async |from: Option<&str>| {
        let asked = Client::http1().get(gateway.url("/"));
        match from {
            Some(from) => asked.header("origin", from).send().await,
            None => asked.send().await,
        }
    };
    for from in [APP, "https://a.example.org"] {
        let answer = ask(Some(from)).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(from));
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    for from in [Some("https://evil.example"), Some("null"), None] {
        let answer = ask(from).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, None));
        assert_eq!(answer.header("access-control-expose-headers"), None);
        assert_eq!(answer.header("vary"), Some("origin"), "caches keep one for each");
    }
}

#[tokio::test]
async fn everybody_needs_no_vary() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"{ use = "cors", with = { origins = ["*"], headers = ["*"] } }"#).await;
    let answer = Client::http1().get(gateway.url("/")).header("origin", "null").send().await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (Some("*"), None));
    let agreed = preflight(&gateway, "https://any.example", "DELETE", "x-any").await;
    assert_eq!((agreed.status.as_u16(), agreed.header("access-control-allow-headers")), (204, Some("x-any")));
    // Without a method to ask for it is a request as any other.
    let options = Client::http1().request(http::Method::OPTIONS, gateway.url("/")).header("origin", "null");
    assert_eq!(options.send().await.status, 200);
}

#[tokio::test]
async fn what_would_let_every_page_act_is_refused() {
    let said = mistake(r#"{ use = "cors", with = { origins = ["*"], credentials = true } }"#).await;
    assert!(said.contains("policy `cors`: `credentials` with `origins = [\"*\"]`"), "{said}");
    assert!(said.contains("with.credentials"), "{said}");
}
