//! What one isolate puts into the cache all others find, until it ends or has to go.

use crate::common::{PATIENT, config, guest_plugin_with, plugin, route};
use http::Method;
use limen_tests::{Client, Gateway, Origin, eventually, guest};

const GRANTED: &str = "grants = { cache = { size = \"1MiB\" } }";

fn config_with(origin: &Origin, grants: &str, mark: &str) -> String {
    let keys = format!("{grants}\n{PATIENT}");
    let other = plugin("other", guest("caches"), &keys);
    let attached = |name: &str| format!("{{ use = {name:?}, with = {{ mark = {mark:?} }} }}");
    let rest = [
        guest_plugin_with("caches", &keys),
        other,
        route("/**", &attached("caches")),
        route("/other/**", &attached("other")),
    ];
    config(origin, &rest.join("\n"))
}

struct Cache {
    gateway: Gateway,
}

impl Cache {
    /// On a connection of its own, and so at any of the workers.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> limen_tests::Answer {
        let request = Client::http1().request(method, self.gateway.url(path));
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await
    }

    async fn put(&self, path: &str, value: &str, length: &str, ttl: &str) -> u16 {
        let headers = [("x-value", value), ("x-length", length), ("x-ttl", ttl)];
        self.ask(Method::PUT, path, &headers).await.status.as_u16()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.ask(Method::GET, path, &[]).await;
        (answer.status == 200).then(|| answer.text())
    }
}

#[tokio::test]
async fn all_isolates_and_workers_find_it_until_it_ends() {
    let origin = Origin::start();
    let cache = Cache { gateway: Gateway::start(config_with(&origin, GRANTED, "1")).await };
    assert_eq!(cache.get("/a").await, None);
    assert_eq!(cache.put("/a", "one", "1", "0").await, 200);
    for _ in 0..16 {
        assert_eq!(cache.get("/a").await.as_deref(), Some("one"));
    }
    assert_eq!(cache.get("/other/a").await, None, "another plugin's is another");
    assert_eq!(cache.put("/a", "two", "1", "100").await, 200);
    eventually("the end of its time to live", async || cache.get("/a").await.is_none().then_some(())).await;

    let added = (0..20).map(|_| cache.ask(Method::POST, "/once", &[]));
    let mut statuses = Vec::new();
    for answer in added.collect::<Vec<_>>() {
        statuses.push(answer.await.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[1], statuses[19]), (201, 409, 409), "one of them has added it");
    assert_eq!(cache.ask(Method::DELETE, "/once", &[]).await.status, 204);
    assert_eq!(cache.get("/once").await, None);
}

#[tokio::test]
async fn it_survives_a_reload_and_new_settings() {
    let origin = Origin::start();
    let cache = Cache { gateway: Gateway::start(config_with(&origin, GRANTED, "1")).await };
    assert_eq!(cache.put("/a", "one", "1", "0").await, 200);
    cache.gateway.write_config(config_with(&origin, GRANTED, "2"));
    eventually("the new settings", async || {
        let answer = cache.ask(Method::GET, "/a", &[]).await;
        (answer.header("x-mark") == Some("2")).then(|| assert_eq!(answer.text(), "one"))
    })
    .await;
}

#[tokio::test]
async fn its_size_is_bounded() {
    let origin = Origin::start();
    let cache = Cache { gateway: Gateway::start(config_with(&origin, GRANTED, "1")).await };
    assert_eq!(cache.put("/whole", "x", "1048576", "0").await, 413, "larger than all of the cache");
    for number in 0..32 {
        assert_eq!(cache.put(&format!("/{number}"), "x", "100000", "0").await, 200);
    }
    // Ten of them fit; which go is settled a moment later.
    let kept = eventually("the oldest to have gone", async || {
        let mut kept = Vec::new();
        for number in 0..32 {
            if cache.get(&format!("/{number}")).await.is_some() {
                kept.push(number);
            }
        }
        (kept.len() <= 10).then_some(kept)
    })
    .await;
    assert!(kept.contains(&31), "{kept:?}");
}

#[tokio::test]
async fn what_becomes_of_it_is_counted() {
    let origin = Origin::start();
    let config =
        |grants: &str| format!("[admin]\naddress = \"127.0.0.1:0\"\n{}", config_with(&origin, grants, "1"));
    let cache = Cache { gateway: Gateway::start(config(GRANTED)).await };
    for number in 0..20 {
        assert_eq!(cache.put(&format!("/{number}"), "x", "100000", "0").await, 200);
    }
    assert_eq!(cache.put("/short", "x", "1", "1").await, 200);
    assert_eq!(cache.get("/19").await.map(|text| text.len()), Some(100_000));
    assert_eq!(cache.get("/missing").await, None);
    let counts = async || {
        let text = Client::http1().get(cache.gateway.admin_url("/metrics")).send().await.text();
        let count = |name: &str| -> f64 {
            let series = format!("limen_plugin_cache_{name}{{limen_plugin=\"caches\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&series));
            line.unwrap_or_else(|| panic!("no {series}: {text}")).parse().unwrap()
        };
        ["hits_total", "misses_total", "evictions_total", "entries", "size_bytes"].map(count)
    };
    let [hits, misses, evictions, entries, bytes] = counts().await;
    assert_eq!((hits, misses), (1.0, 1.0));
    assert!((10.0..=11.0).contains(&evictions), "twenty of which ten fit: {evictions}");
    assert!(
        (9.0..=11.0).contains(&entries) && (900_000.0..1_048_577.0).contains(&bytes),
        "{entries} {bytes}"
    );

    // Another size is another cache, and the counts go on.
    cache.gateway.write_config(config("grants = { cache = { size = \"2MiB\" } }"));
    cache.gateway.wait_for_log_containing("the configuration is live").await;
    eventually("the new cache", async || (counts().await[3] == 0.0).then_some(())).await;
    assert!(counts().await[2] >= evictions, "counts never go back");
}

#[tokio::test]
async fn without_the_grant_it_is_not_loaded() {
    let origin = Origin::start();
    for grants in ["", "grants = { cache = false }", "grants = { counters = true }"] {
        let refused = Gateway::with(config_with(&origin, grants, "1")).check().await;
        assert_eq!(refused.status.code(), Some(1));
        let said = &refused.stderr;
        assert!(
            said.contains("plugin `caches`: the component imports `cache`, which it is not granted"),
            "{said}"
        );
        assert!(said.contains("grants = { cache = true }"), "{said}");
    }
}
