//! The hook beside all exchanges: at once, now and then, one at a time, and as long as somebody wants it.

use crate::common::{config, guest_plugin_with, plugin, route};
use limen_tests::{Client, Gateway, Origin, eventually, guest};

fn with(origin: &Origin, keys: &str, policies: &[(&str, &str)]) -> String {
    let keys = format!("grants = {{ fetch = [\"origin\"], kv = [\"sessions\"] }}\n{keys}");
    let routes: String = policies.iter().map(|(path, policy)| route(path, policy)).collect();
    let rest = [
        "[admin]\naddress = \"127.0.0.1:0\"\n[store.sessions]",
        &guest_plugin_with("ticks", &keys),
        &plugin(
            "looks",
            guest("ticks"),
            "grants = { fetch = [\"origin\"], kv = [\"sessions\"] }\ntick = \"24h\"",
        ),
        &routes,
    ];
    config(origin, &rest.join("\n"))
}

const PATIENT: &str = r#"limits = { cpu = "2s", wall = "10s" }"#;

/// How often it has ticked, how many did at the same time at most, and what the upstream answered.
async fn seen(gateway: &Gateway, path: &str) -> (u64, u64, String) {
    let answer = Client::http1().get(gateway.url(path)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut parts = text.splitn(3, ' ');
    let mut number = || parts.next().unwrap().parse().unwrap_or(0);
    let (ticks, most) = (number(), number());
    (ticks, most, parts.next().unwrap().to_owned())
}

async fn wait_for_ticks(gateway: &Gateway, path: &str, least: u64) -> (u64, u64, String) {
    eventually("ticks", async || Some(seen(gateway, path).await).filter(|seen| seen.0 >= least)).await
}

#[tokio::test]
async fn it_ticks_before_anybody_asks_and_again_and_again() {
    let origin = Origin::start();
    let keys = format!("tick = \"100ms\"\n{PATIENT}");
    // Twice the same settings are one.
    let gateway = Gateway::start(with(&origin, &keys, &[("/a", "\"ticks\""), ("/b", "\"ticks\"")])).await;
    let (_, most, answer) = eventually("an answer", async || {
        Some(seen(&gateway, "/a").await).filter(|seen| seen.0 >= 5 && seen.2 != "none")
    })
    .await;
    assert_eq!((most, &*answer), (1, "slow"));
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    let counted = "limen_plugin_ticks_total{limen_plugin=\"ticks\",outcome=\"succeeded\"} ";
    let line = metrics.lines().find(|line| line.starts_with(counted)).unwrap();
    assert!(line.strip_prefix(counted).unwrap().parse::<f64>().unwrap() >= 4.0, "{line}");
}

/// What they use is told as of any other hook, beside the routes.
#[tokio::test]
async fn it_is_in_the_accounts_of_its_plugin_and_held_to_its_limits() {
    let origin = Origin::start();
    let policy = r#"{ use = "ticks", with = { naughty = "loop" } }"#;
    let limits = r#"limits = { cpu = "20ms", wall = "10s", breaker = { calls = 2, open = "1h" } }"#;
    let gateway =
        Gateway::start(with(&origin, &format!("tick = \"100ms\"\n{limits}"), &[("/a", policy)])).await;
    gateway.wait_for_log_containing("held back for 3600s").await;
    let used = eventually("ticks that are held back", async || {
        let plugins = Client::http1().get(gateway.admin_url("/plugins")).send().await.json();
        let ticks = plugins.as_array().unwrap().iter().find(|it| it["name"] == "ticks").unwrap().clone();
        (ticks["ticks"]["failures"]["held-back"].as_u64() > Some(2)).then_some(ticks)
    })
    .await;
    let (ticks, failures) = (&used["ticks"], &used["ticks"]["failures"]);
    assert_eq!(
        (&ticks["calls"], &failures["cpu-limit"], &ticks["isolates_made"]),
        (&2.into(), &2.into(), &2.into())
    );
    assert!(ticks["cpu_us"].as_u64() >= Some(40_000) && ticks["memory_peak"].as_u64() > Some(0), "{used}");
    assert_eq!((&used["held_back_workers"], &used["routes"][0]["calls"]), (&1.into(), &0.into()));
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    assert!(metrics.contains("limen_policy_calls_total{limen_plugin=\"ticks\"} 2\n"), "{metrics}");
    // Requests are another matter.
    assert_eq!(Client::http1().get(gateway.url("/a")).send().await.status, 200);
}

#[tokio::test]
async fn it_goes_on_over_reloads_and_ends_with_its_plugin() {
    let origin = Origin::start();
    let keys = format!("tick = \"100ms\"\n{PATIENT}");
    let both = [("/a", "\"ticks\""), ("/look", "\"looks\"")];
    let gateway = Gateway::start(with(&origin, &keys, &both)).await;
    wait_for_ticks(&gateway, "/look", 3).await;

    let reload = async |next: String| {
        gateway.forget_log();
        gateway.write_config(next);
        gateway.wait_for_log_containing("the configuration is live").await;
    };
    reload(with(&origin, &keys, &[both[0], both[1], ("/more", "\"ticks\"")])).await;
    let (before, ..) = seen(&gateway, "/look").await;
    wait_for_ticks(&gateway, "/look", before + 3).await;

    reload(with(&origin, &keys, &both[1..])).await;
    // The end of one that was under way.
    let (still, ..) = seen(&gateway, "/look").await;
    let quiet = std::time::Instant::now();
    let after = eventually("a while without", async || {
        let (now, ..) = seen(&gateway, "/look").await;
        (quiet.elapsed().as_millis() > 500).then_some(now)
    })
    .await;
    assert!(after <= still + 1, "{still} ticks became {after}");
}

#[tokio::test]
async fn failures_are_told_once_and_counted() {
    let origin = Origin::start();
    for (naughty, limits, reason) in [
        ("fail", PATIENT, "told to fail"),
        ("loop", r#"limits = { cpu = "20ms", wall = "10s" }"#, "limits.cpu"),
    ] {
        let policy = format!("{{ use = \"ticks\", with = {{ naughty = {naughty:?} }} }}");
        let gateway =
            Gateway::start(with(&origin, &format!("tick = \"100ms\"\n{limits}"), &[("/a", &policy)])).await;
        wait_for_ticks(&gateway, "/a", 4).await;
        gateway.wait_for_log_containing(reason).await;
        let told = gateway.log().iter().filter(|line| line.contains("its tick failed")).count();
        assert_eq!(told, 1);
        let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
        let failed = "limen_plugin_ticks_total{limen_plugin=\"ticks\",outcome=\"failed\"} ";
        assert!(metrics.lines().any(|line| line.starts_with(failed) && !line.ends_with(" 0")), "{metrics}");
    }
}

#[tokio::test]
async fn a_tick_without_a_hook_is_a_mistake() {
    let origin = Origin::start();
    let rest = [guest_plugin_with("loops", "tick = \"1s\""), route("/**", "\"loops\"")].join("\n");
    let refused = Gateway::with(config(&origin, &rest)).check().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("the component has no hook for it"), "{}", refused.stderr);
}
