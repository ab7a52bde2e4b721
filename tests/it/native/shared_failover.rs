//! A failover of the store: another server leads, and the one that gateways know follows it and takes no writes.

use crate::common::{assert_problem, config, route};
use limen_tests::{Act, Client, Gateway, Origin, RealRedis, Scripted, eventually};

// In boxes, so that what tests wait for fits on their stacks.

/// Limits that are kept there, by their paths; `/refuse` has none of its own.
async fn gateway(origin: &Origin, silent: &Scripted, redis: &RealRedis) -> Gateway {
    let limited = |path: &str, on_error: &str| {
        let limits = "by = [], limits = [{ limit = 2, per = \"1h\" }]";
        route(
            path,
            &format!("{{ use = \"rate-limit\", with = {{ {limits}, on_store_error = {on_error:?} }} }}"),
        )
    };
    let quota = r#"{ use = "quota", with = { per = "month", limit = 2, by = ["route"] } }"#;
    let one = "{ use = \"concurrency\", with = { limit = 1, dead_after = \"3s\" } }";
    let rest = [
        format!(
            "[store]\nurl = \"{redis}\"\npepper = \"pepper\"\n[secret.pepper]\nfile = \"pepper\"\n[admin]\naddress = \"127.0.0.1:0\"\n"
        ),
        format!("[upstream.silent]\nendpoints = [\"{silent}\"]\n"),
        limited("/local", "local"),
        limited("/refuse", "refuse"),
        route("/quota", quota),
        format!("[[route]]\npath = \"/silent\"\npolicies = [{one}]\nupstream = \"silent\"\n"),
        route("/keys", "\"api-key\""),
    ];
    let text = config(origin, &rest.concat());
    Box::pin(Gateway::with(text).file("pepper", "the pepper of all gateways").start()).await
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    Box::pin(Client::http1().get(gateway.url(path)).send()).await.status.as_u16()
}

async fn create_key(gateway: &Gateway) -> limen_tests::Answer {
    let asked = Client::http1().post(gateway.admin_url("/keys"));
    Box::pin(asked.header("content-type", "application/json").body(r#"{"consumer":"ada"}"#).send()).await
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_one_that_does_not_answer() {
    let (Some(known), Some(other)) = (RealRedis::start(), RealRedis::start()) else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    other.follow(&known);
    let gateway = gateway(&origin, &silent, &known).await;
    let key = create_key(&gateway).await;
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let with_key = async || {
        let asked = Client::http1().get(gateway.url("/keys")).header("x-api-key", &key);
        Box::pin(asked.send()).await.status
    };
    assert_eq!(with_key().await, 200);
    for path in ["/local", "/refuse", "/quota"] {
        assert_eq!(status(&gateway, path).await, 200, "{path}");
    }
    eventually("the other one knows it", async || (known.ask("DBSIZE") == other.ask("DBSIZE")).then_some(()))
        .await;
    other.lead();
    known.follow(&other);

    // What each is told to do without it.
    let local = [
        status(&gateway, "/local").await,
        status(&gateway, "/local").await,
        status(&gateway, "/local").await,
    ];
    assert_eq!(local, [200, 200, 429], "it counts for itself");
    let quota = [status(&gateway, "/quota").await, status(&gateway, "/quota").await];
    assert_eq!(quota, [200, 429], "it counts on from what it was told last");
    assert_problem(&Box::pin(Client::http1().get(gateway.url("/refuse")).send()).await, 503);
    assert_eq!(with_key().await, 200, "it knows the keys");
    let refused = create_key(&gateway).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let url = gateway.url("/silent");
    let waiting = tokio::spawn(async move { drop(Client::http1().get(url).try_send().await) });
    eventually("it is under way", async || (silent.busy() == 1).then_some(())).await;
    assert_eq!(status(&gateway, "/silent").await, 429, "one at a time here");

    // It is reached again and again, and never taken for one that is back.
    let before = known.calls("ping");
    eventually("it was tried three times", async || (known.calls("ping") >= before + 3).then_some(())).await;
    let told = |what: &str| gateway.log().iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (told("the store does not answer"), told("the store answers again")),
        (1, 0),
        "{:?}",
        gateway.log()
    );

    known.lead();
    gateway.wait_for_log_containing("the store answers again").await;
    // One of two was taken there before.
    assert_eq!([status(&gateway, "/refuse").await, status(&gateway, "/refuse").await], [200, 429]);
    assert_eq!(status(&gateway, "/quota").await, 429, "what was taken meanwhile counts");
    eventually("its place is counted there", async || {
        known.ask("KEYS *places*").contains("places").then_some(())
    })
    .await;
    assert_eq!(status(&gateway, "/silent").await, 429);
    eventually("keys are made again", async || (create_key(&gateway).await.status == 201).then_some(()))
        .await;
    assert_eq!(with_key().await, 200);
    waiting.abort();
}
