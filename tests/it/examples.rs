//! Every example: explained, started and asked. What it promises is kept, and is not without its
//! policies, so that the asking is worth something.

use limen_tests::{Client, Example, Gateway, Origin};

/// What an example's README says, and whether it is so.
struct Promise {
    what: &'static str,
    kept: bool,
}

/// Asks a running example for each thing that its policies do.
async fn promises(example: &str, gateway: &Gateway) -> Vec<Promise> {
    match example {
        "canary" => canary(gateway).await,
        "quickstart" => quickstart(gateway).await,
        "systemd" => systemd(gateway).await,
        other => panic!("examples/{other} has no test yet: add what it promises to tests/it/examples.rs"),
    }
}

async fn canary(gateway: &Gateway) -> Vec<Promise> {
    let client = Client::http1();
    let hats = || client.get(gateway.url("/shop/hats"));
    let tester = hats().header("x-canary", "next").send().await;
    let user = hats().header("cookie", "user=7").send().await;
    let api = client.get(gateway.url("/api/v1/hats")).send().await.json();
    vec![
        Promise {
            what: "testers have a route of their own",
            kept: tester.header("x-shop") == Some("for testers"),
        },
        Promise { what: "everybody has another", kept: user.header("x-shop") == Some("for everybody") },
        Promise {
            what: "the API is asked by its own path, and knows through whom",
            kept: api["path"] == "/internal/v1/shop/hats" && api["headers"]["x-from"] == "api",
        },
    ]
}

async fn quickstart(gateway: &Gateway) -> Vec<Promise> {
    let client = Client::http1();
    let order = || client.get(gateway.url("/orders/7"));
    let without_key = order().send().await;
    let with_key = order().header("x-api-key", "demo-key").send().await;
    let shop = client.get(gateway.url("/shop/hats")).header("x-country", "DE").send().await;
    let user = client.get(gateway.url("/users/1")).send().await.json();
    vec![
        Promise { what: "an order needs a key", kept: without_key.status == 401 },
        Promise {
            what: "a key lets through, and only its owner's name reaches the API",
            kept: with_key.status == 200
                && with_key.json()["asked_with"]["x-consumer"] == "ada"
                && with_key.json()["asked_with"]["x-api-key"].is_null(),
        },
        Promise { what: "the API learns the region", kept: shop.json()["headers"]["x-region"] == "eu" },
        Promise { what: "so does the caller", kept: shop.header("x-served-for") == Some("eu") },
        Promise {
            what: "a user comes without secrets",
            kept: user["name"] == "Ada Lovelace"
                && user["address"]["city"] == "London"
                && user["password_hash"].is_null()
                && user["address"]["ssn"].is_null(),
        },
    ]
}

async fn systemd(gateway: &Gateway) -> Vec<Promise> {
    let ready = Client::http1().get(gateway.admin_url("/ready")).send().await;
    vec![
        Promise { what: "operators can ask whether it is ready", kept: ready.status == 200 },
        Promise { what: "the next process will find this one", kept: gateway.path("takeover.sock").exists() },
    ]
}

#[tokio::test]
async fn every_example_keeps_its_promises_by_its_policies() {
    let examples = Example::all();
    assert!(!examples.is_empty());
    let origin = Origin::start();
    for example in examples {
        let name = example.name.clone();
        let gateway = example.with(&origin).start().await;
        for Promise { what, kept } in promises(&name, &gateway).await {
            assert!(kept, "examples/{name}: {what}");
        }
        if !example.has_policies() {
            continue;
        }
        let gateway = example.without_policies().with(&origin).start().await;
        for Promise { what, kept } in promises(&name, &gateway).await {
            assert!(!kept, "examples/{name}: without its policies this should not be so: {what}");
        }
    }
}

#[test]
fn every_example_is_explained() {
    for example in Example::all() {
        assert!(example.readme().starts_with("# "), "examples/{}/README.md has no title", example.name);
    }
}
