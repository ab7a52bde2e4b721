//! `/metrics`: what Prometheus reads is read here as strictly as it does, and says what was.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{config, config_of_one_worker, guest_plugin, route};
use limen_tests::{Client, Gateway, Load, Origin, eventually, wire};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

type Labels = BTreeMap<String, String>;

/// A scrape: families by name, and their samples.
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

async fn scrape(gateway: &Gateway) -> Scrape {
    let answer = Client::http1().get(gateway.admin_url("/metrics")).send().await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::read(&answer.text())
}

impl Scrape {
    /// Panics at whatever the text format does not allow.
    fn read(text: &str) -> Scrape {
        let (mut kinds, mut samples) = (BTreeMap::new(), vec![]);
        let (mut family, mut helped, mut seen) = (String::new(), String::new(), BTreeSet::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && !kinds.contains_key(name), "twice: {line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, helped, "no help before: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                kinds.insert(name.to_owned(), kind.to_owned());
                family = name.to_owned();
            } else {
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("not of {family}: {line}"));
                let suffixes: &[&str] = match &*kinds[&family] {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&suffix), "{line}");
                assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
                samples.push((name, labels, value));
            }
        }
        let scrape = Scrape { kinds, samples };
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        for (family, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            for (count, labels, value) in self.samples.iter().filter(|it| it.0 == format!("{family}_count")) {
                let mut before = (f64::NEG_INFINITY, 0.0);
                for (_, bucket, so_far) in self.samples.iter().filter(|(name, bucket, _)| {
                    let mut rest = bucket.clone();
                    *name == format!("{family}_bucket") && rest.remove("le").is_some() && rest == *labels
                }) {
                    let bound = bucket["le"].parse().unwrap();
                    assert!(bound > before.0 && *so_far >= before.1, "{family} {labels:?} at {bound}");
                    before = (bound, *so_far);
                }
                assert_eq!(before, (f64::INFINITY, *value), "{count} {labels:?}");
                assert!(self.value(&format!("{family}_sum"), labels).is_some());
            }
        }
    }

    fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.samples.iter().find(|it| it.0 == name && it.1 == *labels).map(|it| it.2)
    }

    /// The sum of the samples of this name that have these labels, among others.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has =
            |all: &Labels| labels.iter().all(|(name, value)| all.get(*name).is_some_and(|it| it == value));
        let found: Vec<_> = self.samples.iter().filter(|it| it.0 == name && has(&it.1)).collect();
        assert!(!found.is_empty(), "no {name} with {labels:?}");
        found.iter().map(|it| it.2).sum()
    }
}

/// `name{label="value",...} 1.5`.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name) && !name.is_empty(), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let mut characters = after.char_indices();
            let mut value = String::new();
            let end = loop {
                match characters.next().unwrap_or_else(|| panic!("a label without end: {line}")) {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next().unwrap().1 {
                        'n' => '\n',
                        plain @ ('\\' | '"') => plain,
                        other => panic!("\\{other}: {line}"),
                    }),
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice: {line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    (name.to_owned(), labels, value.unwrap_or_else(|| panic!("no value: {line}")))
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
}

#[tokio::test]
async fn a_scrape_is_as_prometheus_wants_it_and_says_what_was() {
    let origin = Origin::start();
    // A name that breaks a line which does not escape it.
    let odd = "[[route]]\nname = 'a \"b\" \\ c'\npath = \"/odd\"\nupstream = \"origin\"\n";
    let rest = [&*guest_plugin("raw"), odd, &route("/raw/{id}", "\"raw\""), &route("/**", "")].join("\n");
    let text = format!("{ADMIN}{}", config(&origin, &rest));
    let gateway = Gateway::start(&text).await;
    for client in [Client::http1(), Client::http2()] {
        for path in ["/odd", "/raw/1", "/status/503", "/a"] {
            let answer = client.post(gateway.url(path)).body("12345").send().await;
            assert!(answer.status == 200 || path == "/status/503", "{path}: {}", answer.status);
        }
    }
    wire::exchange(gateway.addr("plain"), "nonsense\r\n\r\n").await;
    gateway.write_config("nonsense");
    assert_eq!(Client::http1().post(gateway.admin_url("/reload")).send().await.status, 422);

    let scrape = eventually("every exchange in the metrics", async || {
        let scrape = scrape(&gateway).await;
        let done = scrape.sum("http_server_request_duration_seconds_count", &[]) >= 8.0;
        (done && scrape.sum("limen_listener_refusals_total", &[("why", "malformed")]) == 1.0)
            .then_some(scrape)
    })
    .await;
    let odd = ("limen_route", "a \"b\" \\ c");
    let is = |name, labels: &[(&str, &str)], value: f64| {
        assert_eq!(scrape.sum(name, labels), value, "{name} {labels:?}");
    };
    is("http_server_request_duration_seconds_count", &[odd, ("http_request_method", "POST")], 2.0);
    is("http_server_request_duration_seconds_count", &[("http_route", "/raw/{id}")], 2.0);
    is("http_server_request_duration_seconds_count", &[("error_type", "503")], 2.0);
    is("http_server_request_body_size_bytes_sum", &[odd], 10.0);
    is("http_client_request_duration_seconds_count", &[("limen_upstream", "origin")], 8.0);
    is("limen_endpoint_healthy", &[("limen_upstream", "origin")], 1.0);
    is("limen_upstream_retries_total", &[("limen_upstream", "origin")], 0.0);
    is("limen_listener_protocol_connections_total", &[("network_protocol_version", "2")], 4.0);
    is("limen_last_reload_applied", &[], 0.0);
    is("limen_reloads_total", &[("result", "applied")], 0.0);
    is("limen_plugin_info", &[("limen_plugin", "raw")], 1.0);
    assert!(scrape.sum("limen_reloads_total", &[("result", "refused")]) >= 1.0);
    assert!(scrape.sum("limen_listener_connections_total", &[("limen_listener", "plain")]) >= 9.0);
    assert!(scrape.sum("limen_endpoint_connections_made_total", &[]) >= 1.0);
}

/// Whoever should read the log sleeps: exchanges go on, and what was not told is counted.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() {
    let origin = Origin::start();
    // Lines that are long, so that all there is room for is full soon.
    let log = "[log.access]\nfields = [\"path\", \"query\"]\n";
    let text = format!("{ADMIN}{}", config(&origin, &[log, &route("/**", "")].join("\n")));
    let gateway = Gateway::with(text).start_unread().await;
    let load = Load::start(&Client::http1(), &gateway.url(&format!("/?q={}", "x".repeat(4000))), 4);
    eventually("dropped lines in the metrics", async || {
        let scrape = scrape(&gateway).await;
        (scrape.sum("limen_log_dropped_lines_total", &[("output", "stderr")]) > 0.0).then_some(())
    })
    .await;
    load.wait_for_more(500).await;
    load.stop().assert_no_failures();
}

/// Those who ask for it get OpenMetrics: the same samples, other names of families, and an end.
#[tokio::test]
async fn openmetrics_says_the_same() {
    let origin = Origin::start();
    let gateway = Gateway::start(format!("{ADMIN}{}", config(&origin, &route("/**", "")))).await;
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    // As Prometheus asks.
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    let answer = Client::http1().get(gateway.admin_url("/metrics")).header("accept", accept).send().await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = answer.text();
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    let mut family = ("", "");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split_once(' ').unwrap();
            assert!(family.1 != "counter" || !family.0.ends_with("_total"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, ..) = sample(line);
            let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("not of {family:?}: {line}"));
            let suffixes: &[&str] = match family.1 {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&suffix), "{family:?}: {line}");
        }
    }
    let told = scrape(&gateway).await;
    let names = |name: &String| text.lines().any(|line| line.starts_with(name.as_str()));
    assert!(told.samples.iter().all(|(name, ..)| names(name)), "{text}");
    assert_eq!(told.sum("limen_panics_total", &[]), 0.0);
}

#[tokio::test]
async fn what_policies_decide_is_counted_and_in_the_access_log() {
    let origin = Origin::start();
    let office = "[policy.office]\nuse = \"ip\"\nwith = { allow = [\"192.0.2.0/24\"] }\n";
    let traps = guest_plugin("traps");
    let skipped = "[[route]]\nname = \"skipped\"\npath = \"/skipped\"\nupstream = \"origin\"\npolicies = [{ use = \"traps\", on_error = \"skip\" }]\n";
    let rest =
        [office, &traps, skipped, &route("/closed", "\"office\""), &route("/traps", "\"traps\"")].concat();
    let log = "[log]\naccess = { fields = [\"status\", \"policies\", \"reason\"] }\n";
    let gateway = Gateway::start(format!("{ADMIN}{log}{}", config(&origin, &rest))).await;
    for (path, status) in [("/closed", 403), ("/closed", 403), ("/skipped", 200), ("/traps", 503)] {
        let asked = Client::http1().get(gateway.url(path)).header("x-naughty", "panic").send().await;
        assert_eq!(asked.status, status, "{path}");
    }
    let expected = [
        ("/closed", "office", "reply", "forbidden", 2.0),
        ("skipped", "traps", "failed", "", 1.0),
        ("/traps", "traps", "failed", "policy_failed", 1.0),
    ];
    let scrape = eventually("the decisions", async || {
        let scrape = scrape(&gateway).await;
        (scrape.samples.iter().filter(|it| it.0 == "limen_policy_decisions_total").count() == 3)
            .then_some(scrape)
    });
    let scrape = scrape.await;
    for (route, policy, verdict, reason, count) in expected {
        let labels = [
            ("limen_route", route),
            ("limen_policy", policy),
            ("limen_verdict", verdict),
            ("limen_reason", reason),
        ];
        let labels = if reason.is_empty() { &labels[..3] } else { &labels[..] };
        assert_eq!(scrape.sum("limen_policy_decisions_total", labels), count, "{labels:?}");
    }
    let refused = [("limen_route", "/closed"), ("limen_policy", "office"), ("limen_verdict", "reply")];
    assert_eq!(scrape.sum("limen_policy_duration_seconds_count", &refused), 2.0, "all that the log tells of");
    assert!(scrape.sum("limen_policy_duration_seconds_sum", &refused) > 0.0);
    let line = gateway.wait_for_log(|line| line.contains("office") && line.contains("403")).await;
    assert!(line.contains("reply") && line.contains("forbidden") && line.contains("us"), "{line}");
}

#[tokio::test]
async fn of_one_exchange_in_sixteen_it_is_told_how_long_policies_took() {
    let origin = Origin::start();
    let home = "[policy.home]\nuse = \"ip\"\nwith = { allow = [\"127.0.0.0/8\"] }\n";
    let config = config_of_one_worker(&origin, &[home, &route("/**", "\"home\"")].concat());
    let gateway = Gateway::start(format!("{ADMIN}{config}")).await;
    for _ in 0..33 {
        assert_eq!(Client::http1().get(gateway.url("/json")).send().await.status, 200);
    }
    let passed = [("limen_route", "/**"), ("limen_policy", "home"), ("limen_verdict", "next")];
    eventually("three of them", async || {
        let count = scrape(&gateway).await.sum("limen_policy_duration_seconds_count", &passed);
        (count == 3.0).then_some(())
    })
    .await;
}
