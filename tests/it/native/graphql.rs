use super::gateway;
use limen_tests::{Answer, Client, Gateway, Origin};
use serde_json::{Value, json};

const WITH: &str = r#"{ use = "graphql", with = { depth = 3, complexity = 40, aliases = 1, batch = 2 } }"#;

async fn post(gateway: &Gateway, body: &Value) -> Answer {
    let asked = Client::http1().post(gateway.url("/graphql")).header("content-type", "application/json");
    asked.body(body.to_string()).send().await
}

/// The answer is an error as servers of GraphQL give it.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, said: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(said), "{message}");
    assert!(answer.json().get("data").is_none());
}

#[tokio::test]
async fn what_asks_for_too_much_goes_no_further() {
    let origin = Origin::start();
    let gateway = gateway(&origin, WITH).await;
    let query = json!({ "query": "query A($n: Int) { posts(first: $n) { title } }", "operationName": "A", "variables": { "n": 5 } });
    let passed = post(&gateway, &query).await;
    assert_eq!((passed.status.as_u16(), passed.json()["body"].as_str()), (200, Some(&*query.to_string())));
    assert_eq!(post(&gateway, &json!([query, { "query": "{ a }" }])).await.status, 200);
    let hash = json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "abc" } } });
    assert_eq!(post(&gateway, &hash).await.status, 200);
    assert_eq!(
        post(&gateway, &json!({ "query": "mutation { a { b } }", "variables": null })).await.status,
        200
    );

    let before = origin.requests();
    for (body, said) in [
        (json!({ "query": "{ a { b { c { d } } } }" }), "depth: at most 3"),
        (
            json!({ "query": "query ($n: Int) { posts(first: $n) { title } }", "variables": { "n": 40 } }),
            "complexity",
        ),
        (json!({ "query": "{ x: a y: a }" }), "aliases"),
        (json!({ "query": "{ __schema { types { name } } }" }), "Introspection is off"),
        (json!({ "query": "{ a" }), "can't be parsed"),
        (json!([{ "query": "{ a }" }, { "query": "{ __type(name: \"A\") { name } }" }]), "Introspection"),
        (json!([query, query, query]), "more than 2 requests"),
        (json!({}), "no query"),
        (json!([]), "no query"),
        (json!({ "query": 1 }), "no text"),
        (json!("x"), "no JSON object"),
    ] {
        assert_refused(&post(&gateway, &body).await, 400, said);
    }
    assert_eq!(origin.requests(), before, "the upstream saw none of them");
    gateway.wait_for_log(|line| line.contains("graphql") && line.contains("Introspection")).await;
}

#[tokio::test]
async fn it_is_carried_as_graphql_over_http_has_it() {
    let origin = Origin::start();
    let gateway = gateway(&origin, WITH).await;
    let get = async |query: &str| Client::http1().get(gateway.url(&format!("/graphql?{query}"))).send().await;
    assert_eq!(get("query=%7Ba%7D").await.status, 200);
    assert_eq!(get("documentId=abc").await.status, 200);
    assert_refused(&get("query=%7Ba%7Bb%7Bc%7Bd%7D%7D%7D%7D").await, 400, "depth");
    assert_refused(&get("query=%7Ba%7D&query=%7B__schema%7Ba%7D%7D").await, 400, "more than once");
    assert_refused(&get("query=%7Ba%7D&variables=1").await, 400, "no JSON object");
    assert_refused(&get("").await, 400, "no query");
    let send = async |method: &str, content_type: &str, body: &str| {
        let asked = Client::http1().request(method.parse().unwrap(), gateway.url("/graphql"));
        let asked =
            asked.header("content-type", content_type).header("accept", "application/graphql-response+json");
        asked.body(body.to_owned()).send().await
    };
    assert_eq!(send("POST", "application/graphql", "{ a }").await.status, 200);
    let refused = send("POST", "application/graphql; charset=utf-8", "{ a { b { c { d } } } }").await;
    assert_refused(&refused, 400, "depth");
    assert_eq!(refused.header("content-type"), Some("application/graphql-response+json"));
    assert_refused(&send("POST", "text/plain", "{}").await, 415, "type");
    assert_refused(&send("POST", "multipart/form-data; boundary=b", "--b--").await, 415, "type");
    let wrong = send("PUT", "application/json", "{}").await;
    assert_refused(&wrong, 405, "Only GET and POST");
    assert_eq!(wrong.header("allow"), Some("GET, POST"));
    assert_eq!(send("POST", "application/json", &" ".repeat(300 << 10)).await.status, 413);
}

#[tokio::test]
async fn others_than_those_that_are_known_can_be_refused() {
    let origin = Origin::start();
    let with =
        r#"{ use = "graphql", with = { persisted = "only", multipart = "pass", introspection = true } }"#;
    let gateway = gateway(&origin, with).await;
    assert_refused(&post(&gateway, &json!({ "query": "{ a }" })).await, 400, "Only queries that are known");
    assert_eq!(post(&gateway, &json!({ "id": "abc" })).await.status, 200);
    let asked =
        Client::http1().post(gateway.url("/")).header("content-type", "multipart/form-data; boundary=b");
    assert_eq!(asked.body("--b--").send().await.status, 200);
}

#[tokio::test]
async fn what_a_server_may_read_in_two_ways_is_refused() {
    let origin = Origin::start();
    let gateway = gateway(&origin, WITH).await;
    let url = |query: &str| gateway.url(&format!("/graphql{query}"));
    let json = async |query: &str, body: &str| {
        let asked = Client::http1().post(url(query)).header("content-type", "application/json");
        asked.body(body.to_owned()).send().await
    };
    const DEEP: &str = "?query=%7Ba%7Bb%7Bc%7Bd%7D%7D%7D%7D";
    let good = r#"{"query":"{ a }"}"#;
    assert_eq!(json("?lang=en", good).await.status, 200);

    let before = origin.requests();
    for query in
        [DEEP, "?variables=%7B%7D", "?operationName=A", "?extensions=%7B%7D", "?Query=%7Ba%7D", "?quer%79"]
    {
        assert_refused(&json(query, good).await, 400, "two queries");
    }
    for body in [
        r#"{"query":"{ a { b { c { d } } } }","query":"{ a }"}"#,
        r#"{"query":"{ a }","variables":{"n":1,"n":2}}"#,
        r#"[{"query":"{ a }"},{"query":"{ a }","qu\u0065ry":"{ b }"}]"#,
    ] {
        assert_refused(&json("", body).await, 400, "two members");
    }
    for name in ["Query", "VARIABLES", "operationname", "Extensions", r"exten\u017fions"] {
        assert_refused(
            &json("", &format!(r#"{{"query":"{{ a }}","{name}":null}}"#)).await,
            400,
            "case alone",
        );
        let batch = format!(r#"[{{"query":"{{ a }}"}},{{"query":"{{ a }}","{name}":null}}]"#);
        assert_refused(&json("", &batch).await, 400, "case alone");
    }
    let utf16 = Client::http1().post(url("")).header("content-type", "application/json; charset=utf-16");
    assert_refused(&utf16.body(good).send().await, 415, "type");
    assert_refused(&Client::http1().get(url("?query=%7Ba%7D&Query=%7Bb%7D")).send().await, 400, "case alone");
    for method in ["HEAD", "OPTIONS"] {
        let ask = |query: &str| Client::http1().request(method.parse().unwrap(), url(query));
        assert_eq!(ask(DEEP).send().await.status, 400, "{method}");
        let body = ask("").header("content-type", "application/json").body(good).send().await;
        assert_eq!(body.status, 400, "{method}");
    }
    let body = Client::http1().get(url("?id=abc")).header("content-type", "application/json");
    assert_refused(&body.body(good).send().await, 400, "with POST only");
    assert_eq!(origin.requests(), before, "the upstream saw none of them");

    for (method, query) in [("HEAD", "?query=%7Ba%7D"), ("OPTIONS", "?query=%7Ba%7D"), ("OPTIONS", "")] {
        let asked = Client::http1().request(method.parse().unwrap(), url(query)).send().await;
        assert_eq!(asked.status, 200, "{method} {query}");
    }
}
