//! What all isolates of a plugin together may use, and what is told of it.

use crate::common::{BODIES, assert_problem, config_of_one_worker, guest_plugin_with, route};
use limen_tests::{Client, Gateway, Load, Origin, body, eventually};
use std::time::Instant;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

async fn start(rest: &[String]) -> (Origin, Gateway) {
    let origin = Origin::start();
    let rest = format!("{ADMIN}\n{}", rest.join("\n"));
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    (origin, gateway)
}

async fn plugin(gateway: &Gateway) -> serde_json::Value {
    Client::http1().get(gateway.admin_url("/plugins")).send().await.json()[0].clone()
}

async fn metrics(gateway: &Gateway) -> String {
    Client::http1().get(gateway.admin_url("/metrics")).send().await.text()
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_held_back_and_asked_again_later() {
    let breaker =
        r#"limits = { cpu = "2s", wall = "10s", breaker = { errors = 50, calls = 10, open = "300ms" } }"#;
    let (origin, gateway) = start(&[
        guest_plugin_with("traps", breaker),
        route("/refuse", r#""traps""#),
        route("/skip", r#"{ use = "traps", on_error = "skip" }"#),
    ])
    .await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..10 {
        assert_problem(&connection.get("/refuse").header("x-naughty", "panic").send().await, 503);
    }
    gateway.wait_for_log_containing("held back for").await;
    // The lines of exchanges come when they have ended, which may be after their answers.
    eventually("a line for each failure", async || {
        let lines = gateway.log();
        (lines.iter().filter(|line| line.contains("policy failed: traps: trap")).count() == 10).then_some(())
    })
    .await;
    gateway.forget_log();
    let before = plugin(&gateway).await;
    let calls = |plugin: &serde_json::Value| {
        plugin["routes"].as_array().unwrap().iter().map(|route| route["calls"].as_u64().unwrap()).sum::<u64>()
    };

    // Open: who is refused stays refused, though it asks for nothing naughty; who is skipped passes.
    let asked = origin.requests();
    assert_problem(&connection.get("/refuse").send().await, 503);
    assert_eq!(origin.requests(), asked, "a policy that refuses lets nobody pass");
    assert_eq!(connection.get("/skip").send().await.status, 200);
    let during = plugin(&gateway).await;
    if during["held_back_workers"] == 1 {
        assert_eq!(calls(&during), calls(&before), "it was asked: {during}");
        assert!(metrics(&gateway).await.contains(r#"kind="held-back""#));
    }
    let lines = gateway.log().into_iter().filter(|line| line.contains("traps")).collect::<Vec<_>>();
    assert!(lines.len() <= 1, "one line for a change, none for a request: {lines:#?}");

    // It is better now, and one exchange finds out.
    eventually("the breaker to close", async || {
        let answer = connection.get("/refuse").send().await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(plugin(&gateway).await["held_back_workers"], 0);
    assert_eq!(connection.get("/refuse").send().await.status, 200);
}

#[tokio::test]
async fn a_log_hook_that_keeps_failing_is_held_back_alone() {
    let breaker = r#"limits = { cpu = "2s", wall = "10s", breaker = { calls = 4, open = "300ms" } }"#;
    let (_origin, gateway) = start(&[guest_plugin_with("traps", breaker), route("/**", r#""traps""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    // How often the hook was called and not; it is called when the client has its answer already.
    let failed = async || {
        let failures = plugin(&gateway).await["routes"][0]["failures"].clone();
        (failures["trap"].as_u64().unwrap_or(0), failures["held-back"].as_u64().unwrap_or(0))
    };
    for number in 1..=12 {
        let answer = connection.get("/").header("x-naughty", "panic-log").send().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-before-trap")), (200, Some("response")));
        eventually("the log hook", async || {
            let (trapped, held_back) = failed().await;
            (trapped + held_back == number).then_some(())
        })
        .await;
    }
    let (_, held_back) = failed().await;
    assert!(held_back > 0, "{}", plugin(&gateway).await);
    assert_eq!(plugin(&gateway).await["held_back_workers"], 0);
    gateway.wait_for_log_containing("its log hook is held back for").await;

    // It is better now, and one exchange finds out.
    eventually("the log hook to be called again", async || {
        assert_eq!(connection.get("/").send().await.status, 200);
        gateway.log().iter().any(|line| line.contains("its log hook is asked again: it works")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_it_says_itself_does_not_open_the_breaker() {
    let breaker = r#"limits = { cpu = "2s", wall = "10s", breaker = { calls = 2 } }"#;
    let fails = r#"{ use = "fails", with = { phase = "request" } }"#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("fails", &format!("{breaker}\n{BODIES}")), route("/**", fails)]).await;
    for _ in 0..10 {
        assert_problem(&Client::http1().get(gateway.url("/")).send().await, 500);
    }
    assert_eq!(plugin(&gateway).await["held_back_workers"], 0);
}

#[tokio::test]
async fn a_share_of_the_worker_is_all_that_a_plugin_gets() {
    let limits =
        r#"limits = { cpu = "50ms", wall = "10s", share = 10, breaker = { errors = 100, calls = 64 } }"#;
    let (_origin, gateway) = start(&[guest_plugin_with("loops", limits), route("/**", r#""loops""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let begun = Instant::now();
    for _ in 0..30 {
        assert_problem(&connection.get("/").header("x-naughty", "loop").send().await, 503);
    }
    let seconds = begun.elapsed().as_secs_f64() + 1.0;
    let plugin = plugin(&gateway).await;
    let failures = &plugin["routes"][0]["failures"];
    assert!(failures["held-back"].as_u64().unwrap() > 0, "{plugin}");
    let used = plugin["routes"][0]["cpu_us"].as_u64().unwrap() as f64 / 1e6;
    assert!(used <= seconds * 0.25, "{used} s of {seconds} s");
    gateway.wait_for_log_containing("limits.share").await;
}

/// The guest `burns`: it computes for 20 ms and goes on.
const BURNS: &str = r#"{ use = "burns", with = { us = 20000 } }"#;

/// As much as a worker can do, and nobody is refused: that it is a lot does not make it naughty.
#[tokio::test]
async fn a_policy_may_have_all_of_a_worker_that_it_alone_keeps_busy() {
    let limits = format!("limits = {{ cpu = \"2s\", cpu_total = \"10s\", wall = \"10s\" }}\n{BODIES}");
    let (_origin, gateway) = start(&[guest_plugin_with("burns", &limits), route("/**", BURNS)]).await;
    let load = Load::start(&Client::http1(), &gateway.url("/json"), 4);
    // Two seconds of computing at least.
    load.wait_for_more(50).await;
    load.stop().assert_no_failures();
}

#[tokio::test]
async fn a_share_holds_what_is_not_naughty_as_well() {
    let limits = format!("limits = {{ cpu = \"2s\", wall = \"10s\", share = 30 }}\n{BODIES}");
    let (_origin, gateway) = start(&[guest_plugin_with("burns", &limits), route("/**", BURNS)]).await;
    let load = Load::start(&Client::http1(), &gateway.url("/json"), 2);
    let report = load.wait_for(|it| it.failed > 0 && it.succeeded > 20).await;
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&503]);
    load.stop();
    let plugin = plugin(&gateway).await;
    let failures = plugin["routes"][0]["failures"].as_object().unwrap();
    assert_eq!(failures.keys().collect::<Vec<_>>(), ["held-back"], "{plugin}");
}

/// Too few fail to open the breaker by their number, and they cost the worker its time.
#[tokio::test]
async fn a_plugin_that_wastes_a_worker_s_time_is_held_back() {
    let limits = |wasted: u32| {
        format!(
            r#"limits = {{ cpu = "60ms", wall = "10s", breaker = {{ wasted = {wasted}, open = "1h" }} }}"#
        )
    };
    for (wasted, held_back) in [(10, 1), (100, 0)] {
        let (_origin, gateway) =
            start(&[guest_plugin_with("loops", &limits(wasted)), route("/**", r#""loops""#)]).await;
        let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
        for number in 0..20 {
            let naughty = if number % 4 == 3 { "loop" } else { "no" };
            connection.get("/json").header("x-naughty", naughty).send().await;
        }
        assert_eq!(plugin(&gateway).await["held_back_workers"], held_back);
        if held_back == 1 {
            gateway.wait_for_log_containing("calls within a second trapped or hit a limit").await;
        }
    }
}

#[tokio::test]
async fn all_hooks_of_an_exchange_together_have_a_limit() {
    // Also of hooks that are too short to be stopped.
    for (us, cpu, total, status) in
        [(20_000, 100, 100, 503), (20_000, 100, 10_000, 200), (500, 5, 5, 503), (500, 5, 10_000, 200)]
    {
        let limits =
            format!("limits = {{ cpu = \"{cpu}ms\", cpu_total = \"{total}ms\", wall = \"10s\" }}\n{BODIES}");
        let burns = format!("{{ use = \"burns\", with = {{ us = {us} }} }}");
        let (_origin, gateway) = start(&[guest_plugin_with("burns", &limits), route("/**", &burns)]).await;
        let (feed, pieces) = body::fed();
        let feeding = async {
            // No hook comes near to its own limit.
            for _ in 0..20 {
                feed.send("a piece").await;
            }
            drop(feed);
        };
        let request = Client::http1().post(gateway.url("/upload")).stream(pieces).send();
        let (answer, ()) = tokio::join!(request, feeding);
        assert_eq!(answer.status, status, "{}", answer.text());
        let plugin = plugin(&gateway).await;
        let used = &plugin["routes"][0];
        assert!(used["calls"].as_u64().unwrap() > 1, "{plugin}");
        if status == 503 {
            assert_problem(&answer, 503);
            assert_eq!(used["failures"]["cpu-limit"], 1, "{plugin}");
            gateway.wait_for_log_containing("of `limits.cpu_total`").await;
        } else {
            assert_eq!(used["failures"], serde_json::json!({}), "{plugin}");
        }
    }
}

#[tokio::test]
async fn the_most_memory_is_told_of_each_route() {
    let limits = r#"limits = { cpu = "2s", wall = "10s", memory = "32MiB" }"#;
    let policy = r#""eats-memory""#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("eats-memory", limits), route("/small", policy), route("/large", policy)])
            .await;
    for path in ["/small", "/large", "/small"] {
        let wanted = if path == "/large" { "12" } else { "0" };
        let answer = Client::http1().get(gateway.url(path)).header("x-eat", wanted).send().await;
        assert_eq!(answer.status, 200);
    }
    let plugin = plugin(&gateway).await;
    let peak = |route: &str| {
        let routes = plugin["routes"].as_array().unwrap();
        let of_route = routes.iter().find(|it| it["route"] == route).unwrap();
        of_route["memory_peak"].as_u64().unwrap() >> 20
    };
    assert!(peak("/small") < 8, "{plugin}");
    assert!((12..=32).contains(&peak("/large")), "{plugin}");
    let metrics = metrics(&gateway).await;
    let name = r#"limen_policy_memory_peak_bytes{limen_plugin="eats-memory",limen_route="/large"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    assert_eq!(line.parse::<u64>().unwrap() >> 20, peak("/large"));
}

#[tokio::test]
async fn isolates_in_use_are_counted_and_bounded() {
    let limits = r#"limits = { cpu = "2s", wall = "20s", isolates = 2 }"#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("counter", limits), route("/**", r#""counter""#)]).await;
    let client = Client::http1();
    // An exchange has its isolate from its request hook to its response hook: until the origin has all.
    let mut held = Vec::new();
    for n in 0..2 {
        let (feed, body) = limen_tests::body::fed();
        assert!(feed.send("first").await);
        held.push((feed, tokio::spawn(client.post(gateway.url("/upload")).stream(body).send())));
        eventually("the isolate to be taken", async || {
            (plugin(&gateway).await["isolates_in_use"] == n + 1).then_some(())
        })
        .await;
    }
    for _ in 0..3 {
        assert_problem(&client.get(gateway.url("/")).send().await, 503);
    }
    gateway.wait_for_log_containing("limits.isolates").await;
    for (feed, answer) in held {
        drop(feed);
        assert_eq!(answer.await.unwrap().status, 200);
    }
    eventually("the isolates to be given back", async || {
        (plugin(&gateway).await["isolates_in_use"] == 0).then_some(())
    })
    .await;
    assert_eq!(client.get(gateway.url("/")).send().await.status, 200);
    let plugin = plugin(&gateway).await;
    assert_eq!(plugin["routes"][0]["failures"]["no-isolate"], 3, "{plugin}");
}

#[tokio::test]
async fn the_log_of_a_plugin_has_a_rate() {
    let limits = r#"limits = { cpu = "2s", wall = "10s", log_lines = 3 }"#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("floods-log", limits), route("/**", r#""floods-log""#)]).await;
    for _ in 0..5 {
        Client::http1().get(gateway.url("/")).header("x-naughty", "log").send().await;
    }
    let plugin = plugin(&gateway).await;
    assert!(plugin["log_lines_dropped"].as_u64().unwrap() > 0, "{plugin}");
    assert!(metrics(&gateway).await.contains("limen_plugin_log_dropped_lines_total{"));
}

#[tokio::test]
async fn lines_beyond_what_a_hook_may_write_are_counted() {
    // The rate is not what drops them.
    let limits = r#"limits = { cpu = "2s", wall = "10s", log_lines = 100000, log_bytes = "1GiB" }"#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("floods-log", limits), route("/**", r#""floods-log""#)]).await;
    let dropped = async |how: &'static str| {
        Client::http1().get(gateway.url("/")).header("x-naughty", how).send().await;
        plugin(&gateway).await["log_lines_dropped"].as_u64().unwrap()
    };
    assert_eq!(dropped("log").await, 1_000_000 - 32);
    assert_eq!(dropped("long").await, 1_000_000 - 32 + 1);
    // So many that it may reach its limit before the last one.
    assert!(dropped("stderr").await > 1_000_100);
}

#[tokio::test]
async fn hooks_that_write_too_much_fill_no_log() {
    let limits = r#"limits = { cpu = "2s", wall = "10s", log_lines = 0 }"#;
    let (_origin, gateway) =
        start(&[guest_plugin_with("floods-log", limits), route("/**", r#""floods-log""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let mut ask = async || connection.get("/").header("x-naughty", "long").send().await;
    let begun = Instant::now();
    for _ in 0..100 {
        ask().await;
    }
    let most = 10 * (2 + begun.elapsed().as_secs() as usize);
    let told = |line: &&String| line.contains("the rest is dropped");
    assert!(gateway.log().iter().filter(told).count() <= most, "{:#?}", gateway.log());
    eventually("a line that counts the others", async || {
        ask().await;
        let log = gateway.log();
        let line = log.iter().find(|line| told(line) && !line.contains("left_out=0"))?;
        line.contains("left_out=").then_some(())
    })
    .await;
}

#[tokio::test]
async fn failures_fill_no_log() {
    let reason = "x".repeat(16_000);
    let fails = |more: &str| {
        format!(r#"{{ use = "fails", with = {{ phase = "request", reason = "{reason}" }}{more} }}"#)
    };
    let limits = r#"limits = { cpu = "2s", wall = "10s", log_lines = 0, log_bytes = "0B" }"#;
    let (_origin, gateway) = start(&[
        guest_plugin_with("fails", &format!("{limits}\n{BODIES}")),
        route("/refuse", &fails("")),
        route("/skip", &fails(r#", on_error = "skip""#)),
    ])
    .await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for path in ["/refuse", "/skip"] {
        gateway.forget_log();
        let begun = Instant::now();
        for _ in 0..100 {
            connection.get(path).send().await;
        }
        // Another second may begin in the middle, and the lines of the last exchanges come after their answers.
        let most = 10 * (2 + begun.elapsed().as_secs() as usize);
        let lines: Vec<_> = gateway.log().into_iter().filter(|line| line.contains("policy failed")).collect();
        assert!(lines.len() <= most, "{path}: {} lines", lines.len());
        for line in &lines {
            assert!(line.len() < 1_500 && line.contains("[cut, of 16"), "{} bytes: {line}", line.len());
        }
        eventually("a line that counts the others", async || {
            connection.get(path).send().await;
            gateway
                .log()
                .iter()
                .any(|line| line.contains("policy failed") && line.contains("left_out="))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_trap_is_told_in_one_short_line() {
    let limits = r#"limits = { cpu = "2s", wall = "10s", log_lines = 0 }"#;
    let access = "[log]\naccess = true".to_owned();
    let (_origin, gateway) =
        start(&[access, guest_plugin_with("traps", limits), route("/**", r#""traps""#)]).await;
    let answer = Client::http1().get(gateway.url("/")).header("x-naughty", "unreachable").send().await;
    assert_problem(&answer, 503);
    let line = gateway.wait_for_log_containing("policy failed: traps: trap: ").await;
    assert!(line.contains("wasm `unreachable` instruction executed; error while executing at "), "{line}");
    assert!(line.len() < 1_500 && !line.contains("\\n"), "{line}");
}

#[tokio::test]
async fn computing_is_accounted_for() {
    let access = "[log.access]\nfields = [\"path\", \"policy_memory\", \"policy_us\"]".to_owned();
    let (_origin, gateway) = start(&[
        access,
        guest_plugin_with("loops", r#"limits = { cpu = "40ms", wall = "10s" }"#),
        route("/loops", r#""loops""#),
        route("/none", ""),
    ])
    .await;
    assert_problem(&Client::http1().get(gateway.url("/loops")).header("x-naughty", "loop").send().await, 503);
    let line = gateway.wait_for_log_containing("path=\"/loops\"").await;
    let micros: u64 = line.split("policy_us=").nth(1).unwrap().trim().parse().unwrap();
    assert!((40_000..400_000).contains(&micros), "{line}");
    let memory: u64 =
        line.split("policy_memory=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    Client::http1().get(gateway.url("/none")).send().await;
    let line = gateway.wait_for_log_containing("path=\"/none\"").await;
    assert!(!line.contains("policy_us") && !line.contains("policy_memory"), "{line}");

    let plugin = plugin(&gateway).await;
    let used = &plugin["routes"][0];
    assert_eq!((&used["route"], &used["calls"]), (&"/loops".into(), &1.into()));
    assert_eq!(used["failures"]["cpu-limit"], 1, "{plugin}");
    assert!(used["cpu_us"].as_u64().unwrap() >= 40_000 && memory > 0, "{plugin}");
    assert_eq!(used["memory_peak"], memory);
    let metrics = metrics(&gateway).await;
    for wanted in [
        r#"limen_policy_calls_total{limen_plugin="loops",limen_route="/loops"} 1"#,
        r#"limen_policy_failures_total{limen_plugin="loops",limen_route="/loops",kind="cpu-limit"} 1"#,
        "# TYPE limen_policy_cpu_seconds_total counter",
        "limen_policy_cpu_seconds_total{",
        "limen_policy_memory_peak_bytes{",
        r#"limen_policy_host_calls_total{limen_plugin="loops",limen_route="/loops"} "#,
    ] {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
}
