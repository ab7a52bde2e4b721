use super::{gateway, mistake};
use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Origin};

#[tokio::test]
async fn a_json_client_speaks_with_an_xml_upstream() {
    let origin = Origin::start();
    let policy = r#"{ use = "xml-json", with = { request = "json-to-xml", response = "xml-to-json", arrays = ["item"] } }"#;
    let respond = r#"{ use = "respond", with = { file = "order.xml", headers = { etag = "\"1\"" } } }"#;
    let text =
        [config(&origin, &route("/**", policy)), route("/order", &format!("{policy}, {respond}"))].concat();
    let order =
        "<?xml version=\"1.0\"?>\n<o:order xmlns:o=\"urn:o\" id=\"7\"><item>a &amp; b</item></o:order>";
    let gateway = Gateway::with(text).file("order.xml", order).start().await;
    for client in [Client::http1(), Client::http2()] {
        let answer = client.get(gateway.url("/order")).send().await;
        assert_eq!(answer.text(), r#"{"o:order":{"@xmlns:o":"urn:o","@id":"7","item":["a & b"]}}"#);
        assert_eq!((answer.header("content-type"), answer.header("etag")), (Some("application/json"), None));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        let asked = client.post(gateway.url("/")).header("content-type", "application/json");
        let seen = asked.body(r#"{"order":{"@id":7,"item":["<a>",1.50]}}"#).send().await.json();
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order id=\"7\"><item>&lt;a&gt;</item><item>1.50</item></order>";
        assert_eq!(seen["body"], wanted, "{seen}");
        assert_eq!(seen["headers"]["content-type"], "application/xml");
    }
}

#[tokio::test]
async fn an_xml_client_speaks_with_a_json_upstream() {
    let origin = Origin::start();
    let policy = r#"{ use = "xml-json", with = { request = "xml-to-json", response = "json-to-xml" } }"#;
    let gateway = gateway(&origin, policy).await;
    let post = |kind: &str, body: String| {
        Client::http1().post(gateway.url("/users")).header("content-type", kind).body(body).send()
    };
    let answer = post("text/xml; charset=utf-8", "<user><name>Ada</name></user>".to_owned()).await;
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    assert!(answer.text().contains("<body>{\"user\":{\"name\":\"Ada\"}}</body>"), "{}", answer.text());

    let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><user>&c;</user>";
    for bad in [bomb.to_owned(), "<user>".to_owned(), "<a>".repeat(100_000), "<a>&nbsp;</a>".to_owned()] {
        let refused = post("application/soap+xml", bad).await;
        assert_problem(&refused, 400);
    }
    let svg = post("image/svg+xml", "<svg/>".to_owned()).await;
    assert!(svg.text().contains("<body>&lt;svg/&gt;</body>"), "{}", svg.text());
    assert_eq!(post("text/xml", " ".repeat((1 << 20) + 1)).await.status, 413);
}

#[tokio::test]
async fn an_upstream_that_says_what_is_no_xml_is_at_fault() {
    let origin = Origin::start();
    let policy = r#"{ use = "xml-json", with = { response = "xml-to-json" } }"#;
    let typed = r#"{ use = "headers", with = { response = { set = { content-type = "text/xml" } } } }"#;
    let gateway = gateway(&origin, &format!("{policy}, {typed}")).await;
    assert_problem(&Client::http1().get(gateway.url("/json")).send().await, 502);
    gateway.wait_for_log_containing("the response body: not XML").await;
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "xml-json", with = { request = "to-xml" } }"#).await;
    assert!(said.contains("unknown variant `to-xml`") && said.contains("with.request"), "{said}");
}
