use crate::common::{assert_problem, config, route};
use limen_tests::{Answer, Client, Gateway, Origin};
use serde_json::json;
use std::time::{Duration, Instant};

const API: &str = r##"
openapi: 3.1.0
servers: [{ url: "/{version}", variables: { version: { default: v1, enum: [v1, v2] } } }]
paths:
  /pets:
    get:
      responses:
        "404": { description: none, content: { application/problem+json: { example: { title: none } } } }
        "200":
          description: all
          headers: { X-Total: { schema: { type: integer, minimum: 3 } }, Content-Length: { schema: { type: integer } } }
          content:
            text/plain: { example: "cat, dog" }
            application/json:
              examples:
                all: { value: [{ name: Rex }] }
                empty: { $ref: "#/components/examples/Empty" }
    post: { responses: { "201": { description: made, content: { application/json: { schema: { $ref: "#/components/schemas/Pet" } } } } } }
  /pets/{id}:
    delete: { responses: { "204": { description: gone } } }
components:
  examples: { Empty: { value: [] } }
  schemas:
    Pet:
      type: object
      required: [parent]
      properties:
        id: { type: string, format: uuid }
        kind: { enum: [cat, dog] }
        age: { type: integer, exclusiveMinimum: 2 }
        tags: { type: array, minItems: 2, items: { type: string, maxLength: 3 } }
        secret: { type: string, writeOnly: true }
        owner: { allOf: [{ type: object, properties: { name: { type: string, example: Ada } } }, { properties: { adult: { type: boolean } } }] }
        parent: { $ref: "#/components/schemas/Pet" }
"##;

async fn gateway(origin: &Origin, with: &str) -> Gateway {
    let policy = format!("{{ use = \"mock\", with = {{ document = \"api.yaml\"{with} }} }}");
    Gateway::with(config(origin, &route("/**", &policy))).file("api.yaml", API).start().await
}

async fn ask(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let asked = Client::http1().request(method.parse().unwrap(), gateway.url(path));
    headers.iter().fold(asked, |asked, (name, value)| asked.header(name, value)).send().await
}

#[tokio::test]
async fn answers_are_those_of_the_document() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let all = ask(&gateway, "GET", "/v1/pets", &[]).await;
    assert_eq!((all.status.as_u16(), all.json()), (200, json!([{ "name": "Rex" }])));
    assert_eq!(all.header("content-type"), Some("application/json"));
    assert_eq!((all.header("x-total"), all.header("vary")), (Some("3"), Some("accept, prefer")));
    let text = ask(&gateway, "GET", "/v2/pets", &[("accept", "text/*, application/json;q=0.5")]).await;
    assert_eq!((text.header("content-type"), text.text()), (Some("text/plain"), "cat, dog".to_owned()));
    let empty = ask(&gateway, "GET", "/v1/pets", &[("prefer", "example=empty")]).await;
    assert_eq!((empty.json(), empty.header("preference-applied")), (json!([]), Some("example=\"empty\"")));
    let none = ask(&gateway, "GET", "/v1/pets", &[("prefer", "wait=5, code=404")]).await;
    assert_eq!((none.status.as_u16(), none.json()), (404, json!({ "title": "none" })));
    assert_eq!(none.header("content-type"), Some("application/problem+json"));
    let head = ask(&gateway, "HEAD", "/v1/pets", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let gone = ask(&gateway, "DELETE", "/v1/pets/7", &[]).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    for (method, path, header, status) in [
        ("GET", "/v1/pets", ("prefer", "code=418"), 404),
        ("GET", "/v1/pets", ("prefer", "example=nope"), 404),
        ("GET", "/v1/pets", ("accept", "image/png"), 406),
        ("GET", "/v1/cats", ("accept", "*/*"), 404),
        ("PUT", "/v1/pets", ("accept", "*/*"), 405),
    ] {
        assert_problem(&ask(&gateway, method, path, &[header]).await, status);
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_schema_is_an_example_too() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "").await;
    let made = ask(&gateway, "POST", "/v1/pets", &[]).await;
    assert_eq!(made.status, 201);
    let pet = made.json();
    assert_eq!(pet["id"], "00000000-0000-4000-8000-000000000000");
    assert_eq!((&pet["kind"], &pet["age"]), (&json!("cat"), &json!(3)));
    assert_eq!(pet["tags"], json!(["str", "str"]));
    assert_eq!(pet["owner"], json!({ "name": "Ada", "adult": true }));
    assert!(pet.get("secret").is_none() && pet["parent"]["parent"].is_object(), "{pet}");
}

#[tokio::test]
async fn it_may_take_its_time_and_leave_the_rest_to_the_upstream() {
    let origin = Origin::start();
    let gateway = gateway(&origin, ", delay = \"80ms\", unknown = \"pass\", base = \"\"").await;
    let began = Instant::now();
    assert_eq!(ask(&gateway, "GET", "/pets", &[]).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(80));
    assert_eq!(ask(&gateway, "GET", "/json", &[]).await.json()["id"], 7);
}
