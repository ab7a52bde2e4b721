mod core;
mod suite;

use crate::common::{config, route};
use limen_tests::{Answer, Client, Gateway, Origin, body};
use serde_json::{Value, json};

/// For the examples of policies.
pub(super) const SMALL: &str = "openapi: 3.1.0\npaths: { /orders: { get: { operationId: listOrders } } }\n";

const API: &str = include_str!("api.yaml");
const OWNERS: &str = r#"{ "definitions": { "Owner": { "type": "object", "required": ["email"], "properties": { "email": { "type": "string", "format": "email" } } } } }"#;
const TRACE: &str = "123e4567-e89b-12d3-a456-426614174000";

async fn gateway(origin: &Origin, with: &str) -> Gateway {
    let policy = format!("{{ use = \"openapi\", with = {{ document = \"api.yaml\"{with} }} }}");
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = true\n";
    let text = config(origin, &format!("{admin}{}", route("/**", &policy)));
    Gateway::with(text).file("api.yaml", API).file("owners.json", OWNERS).start().await
}

/// The mistakes that a refusal tells, each as "where name pointer".
fn told(answer: &Answer, status: u16) -> Vec<String> {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    let part =
        |error: &Value, key: &str| error[key].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    let tell = |error: &Value| {
        assert!(!error["detail"].as_str().unwrap().is_empty());
        format!("{}{}{}", part(error, "in").trim_start(), part(error, "name"), part(error, "pointer"))
    };
    let mut told: Vec<_> = problem["errors"].as_array().into_iter().flatten().map(tell).collect();
    told.sort();
    told
}

async fn list(gateway: &Gateway, query: &str) -> Answer {
    Client::http1().get(gateway.url(&format!("/v1/pets?{query}"))).header("x-trace", TRACE).send().await
}

async fn post(gateway: &Gateway, content_type: &str, body: impl Into<bytes::Bytes>) -> Answer {
    let asked = Client::http1().post(gateway.url("/v1/pets")).header("content-type", content_type);
    asked.body(body).send().await
}

async fn add(gateway: &Gateway, pet: Value) -> Answer {
    post(gateway, "application/json", pet.to_string()).await
}

#[tokio::test]
async fn paths_and_methods_are_those_of_the_document() {
    let origin = Origin::start();
    let guarded = gateway(&origin, "").await;
    let ask = async |gateway: &Gateway, method: &str, path: &str| {
        Client::http1().request(method.parse().unwrap(), gateway.url(path)).send().await
    };
    for (method, path, status) in [
        ("GET", "/v1/pets/7", 200),
        ("HEAD", "/v1/pets/7", 200),
        ("DELETE", "/v1/pets/7", 200),
        ("GET", "/v1/pets/mine", 200),
        ("GET", "/v1/pets/minor", 400),
        ("GET", "/pets/7", 404),
        ("GET", "/v1/cats", 404),
        ("GET", "/v1/pets/7/", 404),
        ("PUT", "/v1/pets/7", 405),
        ("GET", "/v1/pets/2147483648", 400),
    ] {
        let answer = ask(&guarded, method, path).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    assert_eq!(ask(&guarded, "PUT", "/v1/pets/7").await.header("allow"), Some("GET, DELETE, HEAD"));
    guarded.wait_for_log(|line| line.contains("openapi_method") && line.contains("describes no PUT")).await;

    let open = gateway(&origin, ", unknown = \"pass\", base = \"\"").await;
    assert_eq!(ask(&open, "GET", "/cats").await.status, 200);
    assert_eq!(ask(&open, "PUT", "/pets/7").await.status, 200);
    assert_eq!(ask(&open, "GET", "/pets/x").await.status, 400);
}

#[tokio::test]
async fn every_parameter_that_is_wrong_is_told() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    for good in [
        "",
        "limit=5&tags=aa,bb&flag",
        "filter[kind]=cat&filter[age]=3&flag=true",
        "where=%7B%22a%22%3A1%7D&unknown=1",
        "tags=a%2Cb",
    ] {
        assert_eq!(list(&gateway, good).await.status, 200, "{good}");
    }
    let before = origin.requests();
    for (bad, mistakes) in [
        ("limit=0", &["query limit"][..]),
        ("limit=five", &["query limit"]),
        ("limit=1&limit=2", &["query limit"]),
        ("limit=", &["query limit"]),
        ("tags=aa,b", &["query tags #/1"]),
        ("filter[age]=x&filter[kind]=cow", &["query filter #/age", "query filter #/kind"]),
        ("filter[age]=1", &["query filter"]),
        ("flag=maybe", &["query flag"]),
        ("where=nonsense", &["query where"]),
        ("limit=101&where=1", &["query limit", "query where"]),
    ] {
        assert_eq!(told(&list(&gateway, bad).await, 400), mistakes, "{bad}");
    }
    let asked =
        Client::http1().get(gateway.url("/v1/pets?limit=0")).header("cookie", "session=12345").send().await;
    assert_eq!(told(&asked, 400), ["cookie session", "header X-Trace", "query limit"]);
    assert_eq!(origin.requests(), before, "the upstream saw none of them");
    gateway
        .wait_for_log(|line| {
            line.contains("openapi") && line.contains("listPets") && line.contains("cookie `session`")
        })
        .await;
}

#[tokio::test]
async fn bodies_are_checked_against_their_schema() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let good = json!({ "name": "Rex", "kind": "dog", "born": null, "weight": 0.5, "toy": { "is": "ball", "size": 1 },
        "owner": { "email": "ada@example.com" } });
    let passed = add(&gateway, good.clone()).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.json()["body"], good.to_string(), "the upstream has it all");
    for (key, value, mistake) in [
        ("name", json!(""), "body #/name"),
        ("born", json!("yesterday"), "body #/born"),
        ("weight", json!(0), "body #/weight"),
        ("id", json!(1), "body #/id"),
        ("parents", json!([good, { "kind": "dog" }]), "body #/parents/1"),
        ("owner", json!({ "email": "ada" }), "body #/owner/email"),
        ("toy", json!({ "is": "Stick", "size": 1 }), "body #/toy"),
        ("toy", json!({ "is": "rope" }), "body #/toy/is"),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(told(&add(&gateway, bad.clone()).await, 400), [mistake], "{bad}");
    }
    let several = add(&gateway, json!({ "name": 1, "weight": "x" })).await;
    assert_eq!(told(&several, 400), ["body #", "body #/name", "body #/weight"]);
    assert!(!several.text().contains("\"x\""), "values are not told");
    assert_eq!(told(&post(&gateway, "application/json", "{").await, 400), ["body #"]);
    for (bad, mistake) in [
        (r#"{"name":5,"name":"a","kind":"b"}"#, "body #"),
        (r#"{"name":"a","kind":"b","toy":{"is":"ball","is":"ball","size":1}}"#, "body #/toy"),
    ] {
        assert_eq!(told(&post(&gateway, "application/json", bad).await, 400), [mistake], "{bad}");
    }
    for charset in ["utf-16", "utf-7", "utf-8; charset=utf-16"] {
        let media = format!("application/json; charset={charset}");
        assert_eq!(post(&gateway, &media, good.to_string()).await.status, 415, "{charset}");
    }
    assert_eq!(post(&gateway, "application/json; charset=UTF-8", good.to_string()).await.status, 200);
    assert_eq!(told(&post(&gateway, "application/json", "[".repeat(100_000)).await, 400), ["body #"]);
    assert_eq!(told(&post(&gateway, "application/json", "").await, 400), ["body #"]);
    let wrong = post(&gateway, "application/xml", "<a/>").await;
    assert_eq!(wrong.status, 415);
    assert!(wrong.header("accept").unwrap().contains("application/json"));
    let bare = Client::http1().post(gateway.url("/v1/pets")).body("{}").send().await;
    assert_eq!(bare.status, 415);
    let none = Client::http1().post(gateway.url("/v1/pets")).send().await;
    assert_eq!(told(&none, 400), ["body #"]);
    let encoded = Client::http1().post(gateway.url("/v1/pets")).header("content-encoding", "gzip");
    assert_eq!(encoded.header("content-type", "application/json").body("x").send().await.status, 415);
    let long = add(&gateway, json!({ "name": "x".repeat(2 << 20) })).await;
    assert_eq!(long.status, 413);
}

#[tokio::test]
async fn forms_and_text_are_read_too() {
    const PART: &str = "--b\r\nContent-Disposition: form-data; name=";
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let form = "application/x-www-form-urlencoded";
    assert_eq!(post(&gateway, form, "name=Rex+I&age=3&tags=a&tags=b").await.status, 200);
    assert_eq!(told(&post(&gateway, form, "age=x").await, 400), ["body #", "body #/age"]);
    let multipart = "multipart/form-data; boundary=b";
    let photo = format!("{PART}photo; filename=a.png\r\nContent-Type: image/png\r\n\r\n\u{1}\r\n");
    let whole = format!("{photo}{PART}meta\r\n\r\n{{\"name\":\"x\"}}\r\n{PART}age\r\n\r\n3\r\n--b--\r\n");
    assert_eq!(post(&gateway, multipart, whole).await.status, 200);
    let bad = format!("{photo}{PART}meta\r\n\r\n{{}}\r\n{PART}age\r\n\r\nold\r\n--b--\r\n");
    assert_eq!(told(&post(&gateway, multipart, bad).await, 400), ["body #/age", "body #/meta"]);
    for bad in [photo.replace("png\r\n", "gif\r\n") + "--b--", format!("{PART}age\r\n\r\n3\r\n--b--"), photo]
    {
        assert_eq!(told(&post(&gateway, multipart, bad).await, 400), ["body #"]);
    }
    assert_eq!(post(&gateway, "text/plain; charset=utf-8", "short").await.status, 200);
    assert_eq!(told(&post(&gateway, "text/plain", "longer").await, 400), ["body #"]);
}

#[tokio::test]
async fn a_body_that_no_schema_needs_streams() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let (feed, body) = body::fed();
    let asked = Client::http1().request(http::Method::PUT, gateway.url("/v1/upload"));
    let asking = asked.header("content-type", "application/octet-stream").stream(body).send();
    let feeding = async {
        assert!(feed.send("one").await);
        // The upstream is asked before the body has ended.
        limen_tests::eventually("the upstream to be asked", async || (origin.requests() == 1).then_some(()))
            .await;
        assert!(feed.send("two").await);
        drop(feed);
    };
    let (answer, ()) = tokio::join!(asking, feeding);
    assert_eq!(answer.json()["body"], "onetwo");
}

#[tokio::test]
async fn responses_are_checked_if_that_is_asked_for() {
    let origin = Origin::start();
    let gateway = gateway(&origin, ", responses = true, base = \"\"").await;
    let get = async |path: &str| Client::http1().get(gateway.url(path)).send().await;
    let bad = get("/json").await;
    assert_eq!(told(&bad, 502), [""; 0], "what is wrong with it is not the client's to know");
    let line = gateway.wait_for_log_containing("openapi_response").await;
    for part in ["X-Missing", "body /id", "body /secret"] {
        assert!(line.contains(part), "{line}");
    }
    for (path, status) in
        [("/status/200", 200), ("/status/404", 404), ("/status/418", 502), ("/status/503", 503)]
    {
        assert_eq!(get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn who_only_reports_refuses_nothing() {
    let origin = Origin::start();
    let gateway = gateway(&origin, ", mode = \"report\", responses = true").await;
    assert_eq!(list(&gateway, "limit=0").await.status, 200);
    gateway.wait_for_log(|line| line.contains("would be refused") && line.contains("query `limit`")).await;
    assert_eq!(add(&gateway, json!({})).await.status, 200);
    gateway.wait_for_log(|line| line.contains("addPet") && line.contains("found=")).await;
    for (content_type, content) in
        [("application/xml", "<a/>".to_owned()), ("application/json", "x".repeat(2 << 20))]
    {
        assert_eq!(post(&gateway, content_type, content).await.status, 200);
    }
    assert_eq!(Client::http1().get(gateway.url("/nowhere")).send().await.status, 200);
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    // Of requests; the answers of this origin are not as described either.
    for (reason, count) in [("openapi", 2), ("openapi_media_type", 1), ("openapi_path", 1)] {
        let line = format!("limen_verdict=\"report\",limen_reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{reason}: {metrics}");
    }
}

#[tokio::test]
async fn files_that_the_document_refers_to_are_watched_as_it_is() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let pet = json!({ "name": "Rex", "kind": "dog", "owner": { "email": "no address" } });
    assert_eq!(add(&gateway, pet.clone()).await.status, 400);
    gateway.forget_log();
    gateway.replace_file("owners.json", OWNERS.replace(r#", "format": "email""#, ""));
    gateway.wait_for_log_containing("the configuration is live").await;
    let answer = add(&gateway, pet).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // One that is broken leaves the last good one, and mending it is seen as well.
    gateway.replace_file("owners.json", "{");
    gateway.wait_for_log_containing("the new configuration is refused").await;
    gateway.forget_log();
    gateway.replace_file("owners.json", OWNERS);
    gateway.wait_for_log_containing("the configuration is live").await;
}

#[tokio::test]
async fn strictness_is_a_setting() {
    let origin = Origin::start();
    let gateway = gateway(
        &origin,
        ", unknown_query = \"refuse\", status = 422, errors = 1, read_only = \"pass\", formats = false",
    )
    .await;
    assert_eq!(told(&list(&gateway, "limit=0&other=1").await, 422), ["query limit"]);
    assert_eq!(told(&list(&gateway, "other=1&filter[kind]=cat").await, 422), ["query other"]);
    assert_eq!(add(&gateway, json!({ "id": 1, "name": "x", "kind": "x", "born": "soon" })).await.status, 200);
}

#[tokio::test]
async fn what_can_not_be_meant_so_is_refused_at_load() {
    let document = |schema: Value| {
        let content = json!({ "application/json": { "schema": schema } });
        json!({ "openapi": "3.1.0", "paths": { "/a": { "post": { "requestBody": { "content": content } } } } })
    };
    let at = "#/paths/~1a/post/requestBody/content/application~1json/schema";
    for (document, said) in [
        (document(json!({ "type": "strin" })), format!("api.yaml{at}/type: not a good schema")),
        (
            document(json!({ "properties": { "a": { "pattern": "(?=x)" } } })),
            format!("{at}/properties/a/pattern: "),
        ),
        (document(json!({ "$ref": "#/nowhere" })), format!("{at}: a `$ref` to something that is not there")),
        (document(json!({ "$ref": "https://example.com/a" })), "example.com/a".to_owned()),
        (document(json!({ "$ref": "../a.json" })), "leads out of the document's folder".to_owned()),
        (document(json!({ "$ref": "a.json" })), "No such file".to_owned()),
        (document(json!({ "$ref": "#anchor" })), "by the name of an anchor".to_owned()),
        (
            document(json!({ "$ref": format!("{at}/$defs/a"), "$defs": {
                "a": { "$ref": format!("{at}/$defs/b") }, "b": { "$ref": format!("{at}/$defs/a") },
            } })),
            "its references lead in a circle, and to no schema".to_owned(),
        ),
        (json!({ "swagger": "2.0" }), "Swagger 2.0".to_owned()),
        (
            json!({ "openapi": "3.0.0", "paths": { "/{a}": {"get": {}}, "/{b}": {"get": {}} } }),
            "the same path by other names".to_owned(),
        ),
        (
            json!({ "openapi": "3.0.0", "paths": { "/a": { "$ref": "#/paths/~1a" } } }),
            "leads back to itself".to_owned(),
        ),
        (json!([]), "no OpenAPI document".to_owned()),
    ] {
        let origin = Origin::start();
        let text = config(&origin, &route("/**", r#"{ use = "openapi", with = { document = "api.yaml" } }"#));
        let checked = Gateway::with(text).file("api.yaml", document.to_string()).check().await;
        assert_eq!(checked.status.code(), Some(1), "{document}");
        assert!(
            checked.stderr.contains(&said) && checked.stderr.contains("with.document"),
            "{said}\n{}",
            checked.stderr
        );
    }
}

#[tokio::test]
async fn a_document_that_changes_is_read_again() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    assert_eq!(list(&gateway, "limit=101").await.status, 400);
    gateway.replace_file("api.yaml", API.replace("maximum: 100", "maximum: 1000"));
    limen_tests::eventually("the new document", async || {
        (list(&gateway, "limit=101").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_document_makes_routes() {
    let origin = Origin::start();
    let api = API.replace("/pets/{id}:", "/pets/{id}.{form-at}:").replace(
        "{ name: id,",
        "{ name: form-at, in: path, required: true, schema: { enum: [json] } }\n      - { name: id,",
    );
    let setup = Gateway::with("").file("api.yaml", &api).file("owners.json", OWNERS);
    let made = setup.again().finish(&["openapi", "routes", "api.yaml", "--upstream", "origin"]).await;
    assert!(made.status.success(), "{}", made.stderr);
    assert_eq!(made.stdout.matches("[[route]]").count(), 8, "{}", made.stdout);
    assert!(made.stdout.contains("name     = \"listPets\"\npath     = \"/v1/pets\"\nmethods  = [\"GET\"]"));
    let include = "include = [{ files = [\"routes.toml\"], may = [\"route\", \"policy\"] }]\n";
    let setup = setup
        .file("routes.toml", &made.stdout)
        .file("limen.toml", format!("{include}{}", config(&origin, "")));
    let gateway = setup.start().await;
    let status = async |path: &str| Client::http1().get(gateway.url(path)).send().await.status.as_u16();
    assert_eq!(status("/v1/pets/7.json").await, 200);
    assert_eq!(status("/v1/pets/x.json").await, 400);
    assert_eq!(status("/v1/pets/7.xml").await, 400);
    assert_eq!(status("/v1/pets/mine").await, 200);
    assert_eq!(status("/v1/cats").await, 404);
    assert_eq!(list(&gateway, "limit=0").await.status, 400);

    let wrong = Gateway::with("").finish(&["openapi", "routes", "nowhere.yaml"]).await;
    assert!(!wrong.status.success() && wrong.stderr.contains("nowhere.yaml"), "{}", wrong.stderr);
}

#[tokio::test]
async fn mistakes_cost_no_more_than_it_takes_to_send_them() {
    let node = |needs: &str| json!({ "type": "object", "required": [needs], "properties": { "n": { "$ref": "#/components/schemas/Node" } } });
    let schemas = json!({ "Node": { "anyOf": [node("a"), node("b")] }, "List": { "type": "array", "items": { "type": "integer" } } });
    let post = |name: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        json!({ "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } })
    };
    let document = json!({ "openapi": "3.0.0", "paths": { "/node": post("Node"), "/list": post("List") }, "components": { "schemas": schemas } });
    let origin = Origin::start();
    let text = config(&origin, &route("/**", r#"{ use = "openapi", with = { document = "api.yaml" } }"#));
    let gateway = Gateway::with(text).file("api.yaml", document.to_string()).start().await;
    let send = async |path: &str, body: Value| {
        let asked = Client::http1().post(gateway.url(path)).header("content-type", "application/json");
        asked.body(body.to_string()).send().await
    };
    // With 2 alternatives at each of 100 levels nobody would be back.
    let deep = (0..100).fold(json!({ "c": 1 }), |value, _| json!({ "n": value }));
    assert_eq!(told(&send("/node", deep).await, 400), ["body #"]);
    let good = (0..100).fold(json!({ "b": 1 }), |value, _| json!({ "b": 1, "n": value }));
    assert_eq!(send("/node", good).await.status, 200);
    let before = gateway.rss_bytes();
    assert_eq!(told(&send("/list", json!(vec![""; 200_000])).await, 400), ["body #"]);
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more for a body of 600 KB");
    assert_eq!(told(&send("/list", json!(vec![""; 30])).await, 400).len(), 20);
}
