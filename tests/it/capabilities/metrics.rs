//! What a plugin counts of its own is shown beside the gateway's metrics.

use crate::common::{PATIENT, config, guest_plugin_with, plugin, route};
use limen_tests::{Client, Gateway, Origin, eventually, guest};

const GRANTED: &str = "grants = { metrics = true }";

fn config_with(origin: &Origin, grants: &str, more: &str) -> String {
    let keys = format!("{grants}\n{PATIENT}");
    let rest = [
        "[admin]\naddress = \"127.0.0.1:0\"",
        &guest_plugin_with("counts", &keys),
        &plugin("other", guest("counts"), &keys),
        &route("/**", r#""counts""#),
        &route("/other", r#""other""#),
        more,
    ];
    config(origin, &rest.join("\n"))
}

async fn metrics(gateway: &Gateway) -> String {
    Client::http1().get(gateway.admin_url("/metrics")).send().await.text()
}

/// The value of a line that begins so.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[tokio::test]
async fn what_it_counts_is_shown_over_reloads() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_with(&origin, GRANTED, "")).await;
    // On connections of their own, and so at any of the workers.
    let ask = async |path: &str, kind: &str, size: &str| {
        let request = Client::http1().get(gateway.url(path)).header("x-kind", kind).header("x-size", size);
        assert_eq!(request.send().await.status, 200);
    };
    for size in ["5", "10", "50", "1000"] {
        ask("/", "a", size).await;
    }
    ask("/", "b\"q", "none").await;
    ask("/other", "a", "1").await;
    let shown = metrics(&gateway).await;
    for (series, expected) in [
        (r#"plugin_seen_total{limen_plugin="counts",kind="a"}"#, 4.0),
        (r#"plugin_seen_total{limen_plugin="counts",kind="b\"q"}"#, 1.0),
        (r#"plugin_seen_total{limen_plugin="other",kind="a"}"#, 1.0),
        (r#"plugin_size_bytes_bucket{limen_plugin="counts",le="10.0"}"#, 2.0),
        (r#"plugin_size_bytes_bucket{limen_plugin="counts",le="100.0"}"#, 3.0),
        (r#"plugin_size_bytes_bucket{limen_plugin="counts",le="+Inf"}"#, 4.0),
        (r#"plugin_size_bytes_sum{limen_plugin="counts"}"#, 1065.0),
        (r#"plugin_size_bytes_count{limen_plugin="counts"}"#, 4.0),
        (r#"limen_plugin_metrics_dropped_total{limen_plugin="counts",why="undeclared"}"#, 0.0),
    ] {
        assert_eq!(value(&shown, series), Some(expected), "{series}: {shown}");
    }
    assert!(
        shown.contains(
            "# HELP plugin_seen_total Requests that it has seen.\n# TYPE plugin_seen_total counter\n"
        ),
        "{shown}"
    );
    assert_eq!(shown.matches("# TYPE plugin_seen_total").count(), 1);
    assert!(!shown.contains("1000\n"), "what `configure` counts is nobody's: {shown}");

    let undeclared = Client::http1().get(gateway.url("/")).header("x-undeclared", "1").send().await;
    assert_eq!(undeclared.status, 200);
    let shown = metrics(&gateway).await;
    for why in ["undeclared", "label"] {
        let series = format!("limen_plugin_metrics_dropped_total{{limen_plugin=\"counts\",why={why:?}}}");
        assert_eq!(value(&shown, &series), Some(1.0), "{shown}");
    }
    assert!(!shown.contains("unheard_of"), "{shown}");

    gateway.write_config(config_with(&origin, GRANTED, &route("/new", "")));
    gateway.wait_for_log_containing("the configuration is live").await;
    let series = r#"plugin_seen_total{limen_plugin="counts",kind="a"}"#;
    ask("/", "a", "1").await;
    eventually("the count to go on", async || {
        (value(&metrics(&gateway).await, series) == Some(5.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_series_are_bounded() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_with(&origin, GRANTED, "")).await;
    let client = Client::http1();
    let mut connection = client.connect(gateway.url("/")).await.unwrap();
    for number in 0..1100 {
        let answer = connection.get("/").header("x-kind", &number.to_string()).send().await;
        assert_eq!(answer.status, 200);
    }
    let shown = metrics(&gateway).await;
    let series =
        shown.lines().filter(|line| line.starts_with("plugin_seen_total{limen_plugin=\"counts\"")).count();
    assert!((1000..1010).contains(&series), "{series}");
    let overflow = r#"plugin_seen_total{limen_plugin="counts",otel_metric_overflow="true"}"#;
    assert_eq!(value(&shown, overflow).map(|beyond| beyond + series as f64), Some(1101.0), "{shown}");
}

#[tokio::test]
async fn declarations_of_one_name_that_differ_are_told_with_who_declares_them() {
    let origin = Origin::start();
    let misled = plugin("misled", guest("miscounts"), &format!("{GRANTED}\n{PATIENT}"));
    let both = format!("{misled}\n{}", route("/misled", r#""misled""#));
    let gateway = Gateway::start(config_with(&origin, GRANTED, &both)).await;
    for path in ["/", "/misled"] {
        assert_eq!(Client::http1().get(gateway.url(path)).send().await.status, 200);
    }
    let line = gateway.wait_for_log_containing("in different ways").await;
    for said in ["`counts`", "`misled`", "`plugin_seen`", "kind"] {
        assert!(line.contains(said), "{line}");
    }
    let shown = metrics(&gateway).await;
    let clash = r#"limen_plugin_metrics_dropped_total{limen_plugin="misled",why="clash",metric="seen"}"#;
    assert_eq!(value(&shown, clash), Some(1.0), "{shown}");

    // The same of two versions of one plugin.
    gateway.forget_log();
    gateway.write_config(config_with(&origin, GRANTED, "").replace(
        &plugin("other", guest("counts"), &format!("{GRANTED}\n{PATIENT}")),
        &plugin("other", guest("miscounts"), &format!("{GRANTED}\n{PATIENT}")),
    ));
    let line = gateway.wait_for_log_containing("than its version before").await;
    assert!(line.contains("plugin `other`") && line.contains("`plugin_seen`"), "{line}");
}

#[tokio::test]
async fn without_the_grant_it_is_not_loaded() {
    let origin = Origin::start();
    let refused = Gateway::with(config_with(&origin, "", "")).check().await;
    assert_eq!(refused.status.code(), Some(1));
    let said = &refused.stderr;
    assert!(
        said.contains("plugin `counts`: the component imports `metrics`, which it is not granted"),
        "{said}"
    );
    assert!(said.contains("grants = { metrics = true }"), "{said}");
}
