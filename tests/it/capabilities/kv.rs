//! Stores: shared by all workers and plugins that are granted them, and kept over reloads.

use crate::common::{assert_problem, config, guest_plugin_with, plugin, route};
use limen_tests::{Client, Gateway, Origin, eventually, guest};

const STORE: &str = "[store.sessions]\nsize = \"64KiB\"\n";

fn with(origin: &Origin, store: &str, keys: &str) -> String {
    let keys = format!("grants = {{ kv = [\"sessions\"] }}\n{keys}");
    let rest = [
        "[admin]\naddress = \"127.0.0.1:0\"",
        store,
        &guest_plugin_with("keeps", &keys),
        &route("/**", "\"keeps\""),
    ];
    config(origin, &rest.join("\n"))
}

async fn told(gateway: &Gateway, path: &str) -> String {
    let answer = Client::http1().get(gateway.url(path)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[tokio::test]
async fn values_are_kept_for_all_exchanges() {
    let origin = Origin::start();
    let limits = r#"limits = { cpu = "2s", wall = "10s" }"#;
    let stores = format!("{STORE}[store.other]\n");
    let gateway = Gateway::start(with(&origin, &stores, limits)).await;
    for (path, answer) in [
        ("/get/a", "none"),
        ("/set/a/1", "set"),
        ("/get/a", "1"),
        ("/incr/a/41", "42"),
        ("/get/a", "42"),
        ("/incr/new/-3", "-3"),
        ("/set/word/x", "set"),
        ("/incr/word/1", "WrongType"),
        ("/swap/word/y/z", "false"),
        ("/swap/word/x/z", "true"),
        ("/swap/word/-/q", "false"),
        ("/swap/fresh/-/q", "true"),
        ("/get/word", "z"),
        ("/remove/word", "removed"),
        ("/remove/word", "removed"),
        ("/get/word", "none"),
        ("/long/a", "TooLarge"),
    ] {
        assert_eq!(told(&gateway, path).await, answer, "{path}");
    }
    for (name, why) in [("other", "Denied"), ("missing", "NoSuchStore"), ("", "NoSuchStore")] {
        let denied = Client::http1().get(gateway.url("/get/a")).header("x-store", name).send().await;
        assert_eq!(denied.text(), why, "{name}");
    }

    let short = Client::http1().get(gateway.url("/set/short/1")).header("x-ttl", "50").send().await;
    assert_eq!(short.text(), "set");
    eventually("it ends", async || (told(&gateway, "/get/short").await == "none").then_some(())).await;

    let all = (0..200).map(|_| {
        let url = gateway.url("/incr/many/1");
        tokio::spawn(async move { Client::http1().get(url).send().await.text() })
    });
    for answer in all.collect::<Vec<_>>() {
        answer.await.unwrap().parse::<u32>().unwrap();
    }
    assert_eq!(told(&gateway, "/get/many").await, "200");
}

#[tokio::test]
async fn values_survive_reloads_and_versions_of_plugins() {
    let origin = Origin::start();
    let gateway = Gateway::start(with(&origin, STORE, "")).await;
    assert_eq!(told(&gateway, "/set/a/1").await, "set");
    let bigger = "[store.sessions]\nsize = \"1MiB\"\nttl = \"1h\"\n";
    let other = plugin("other", guest("keeps"), "grants = { kv = [\"sessions\"] }");
    let another = format!(
        "{}\n{other}\n{}",
        with(&origin, bigger, "isolate = \"reused\""),
        route("/get/a", "\"other\"")
    );
    for next in [with(&origin, STORE, "isolate = \"reused\""), another] {
        gateway.forget_log();
        gateway.write_config(&next);
        gateway.wait_for_log_containing("the configuration is live").await;
        assert_eq!(told(&gateway, "/get/a").await, "1");
    }
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    assert!(metrics.contains("limen_store_entries{limen_store=\"sessions\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_full_store_drops_what_was_not_used() {
    let origin = Origin::start();
    let gateway = Gateway::start(with(&origin, STORE, "")).await;
    let mut client = Client::http1().connect(gateway.url("")).await.unwrap();
    for n in 0..1000 {
        let set = client.get(&format!("/set/{n}/{}", "v".repeat(100))).send().await;
        assert_eq!(set.text(), "set");
    }
    assert_eq!(told(&gateway, "/get/0").await, "none");
    assert_eq!(told(&gateway, "/get/999").await.len(), 100);
}

#[tokio::test]
async fn a_store_is_no_way_around_the_cpu_limit() {
    let origin = Origin::start();
    let gateway = Gateway::start(with(&origin, STORE, r#"limits = { cpu = "50ms", wall = "20s" }"#)).await;
    assert_problem(&Client::http1().get(gateway.url("/spin/a")).send().await, 503);
    gateway.wait_for_log_containing("limits.cpu").await;
}

#[tokio::test]
async fn what_one_call_may_bring_is_bounded() {
    let origin = Origin::start();
    for (bytes, answer) in [("3MiB", Some("TooLarge")), ("1MiB", None)] {
        let limits =
            format!(r#"limits = {{ cpu = "2s", wall = "10s", host_call_bytes = "{bytes}", body = "0B" }}"#);
        let gateway = Gateway::start(with(&origin, STORE, &limits)).await;
        let long = Client::http1().get(gateway.url("/long/a")).send().await;
        match answer {
            Some(answer) => assert_eq!(long.text(), answer, "it has come, and is too long for the store"),
            None => {
                assert_problem(&long, 503);
                gateway
                    .wait_for_log_containing("host-call-limit: request hook: one of its calls brought")
                    .await;
                gateway.wait_for_log_containing("`limits.host_call_bytes`").await;
                let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
                assert!(metrics.contains("kind=\"host-call-limit\""), "{metrics}");
            }
        }
    }
}

#[tokio::test]
async fn without_the_grant_it_is_not_loaded() {
    let origin = Origin::start();
    let rest = [STORE, &guest_plugin_with("keeps", ""), &route("/**", "\"keeps\"")].join("\n");
    let refused = Gateway::with(config(&origin, &rest)).check().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("imports `kv`, which it is not granted"), "{}", refused.stderr);
    let refused = Gateway::with(with(&origin, "", "")).check().await;
    assert!(refused.stderr.contains("no store `sessions`"), "{}", refused.stderr);
}
