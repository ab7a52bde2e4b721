use crate::common::{config, route};
use limen_tests::{Client, Gateway, Origin};

#[tokio::test]
async fn it_answers_instead_of_the_upstream() {
    let origin = Origin::start();
    let text = [
        config(&origin, ""),
        route(
            "/json",
            r#"{ use = "respond", with = { status = 503, json = { error = "soon" }, headers = { retry-after = "60" } } }"#,
        ),
        route("/file", r#"{ use = "respond", with = { file = "page.html" } }"#),
        route("/none", r#"{ use = "respond", with = { status = 204 } }"#),
    ];
    let gateway = Gateway::with(text.concat()).file("page.html", "<p>1").start().await;
    let ask = async |path: &str| Client::http1().get(gateway.url(path)).send().await;
    let json = ask("/json").await;
    assert_eq!((json.status.as_u16(), json.text().as_str()), (503, r#"{"error":"soon"}"#));
    assert_eq!(
        (json.header("content-type"), json.header("retry-after")),
        (Some("application/json"), Some("60"))
    );
    assert_eq!((ask("/none").await.status.as_u16(), origin.requests()), (204, 0));
    let head = Client::http1().request(http::Method::HEAD, gateway.url("/file")).send().await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("4"), 0));

    let page = ask("/file").await;
    assert_eq!(
        (page.text().as_str(), page.header("content-type")),
        ("<p>1", Some("text/html; charset=utf-8"))
    );
    gateway.forget_log();
    gateway.replace_file("page.html", "<p>2");
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask("/file").await.text(), "<p>2");
}

#[tokio::test]
async fn what_is_computed_is_escaped() {
    let origin = Origin::start();
    let page = r#"{ use = "respond", with = { body = "<p>{request.arguments.q}", headers = { content-type = "text/html", x-for = "{request.method} {request.parameters.id}" } } }"#;
    let json =
        r#"{ use = "respond", with = { json = { id = "{request.id}", q = "{request.arguments.q}" } } }"#;
    let text = [config(&origin, ""), route("/page/{id}", page), route("/json", json)];
    let gateway = Gateway::with(text.concat()).start().await;
    let ask = async |path: &str| Client::http1().get(gateway.url(path)).send().await;
    let page = ask("/page/7?q=%3Cscript%3E%0D%0A").await;
    assert_eq!((page.text().as_str(), page.header("x-for")), ("<p>&#60;script&#62;\r\n", Some("GET 7")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let sly = ask("/page/%0D%0Ax-evil:1?q=").await;
    assert_eq!((sly.header("x-for"), sly.header("x-evil")), (None, None), "{:?}", sly.headers);
    let json = ask("/json?q=%22%7D").await;
    assert_eq!(json.json()["q"], "\"}");
    assert_eq!(json.json()["id"].as_str().map(str::len), Some(32), "{}", json.text());
    assert_eq!(ask("/json").await.json()["q"], serde_json::Value::Null);
}
