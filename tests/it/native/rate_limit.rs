use std::time::Instant;

use super::{gateway, mistake};
use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Load, Origin};

#[tokio::test]
async fn who_is_over_the_limit_is_told_when_to_come_again() {
    let origin = Origin::start();
    let policy = r#"{ use = "rate-limit", with = { limits = [{ limit = 2, per = "1h" }] } }"#;
    let gateway = gateway(&origin, policy).await;
    let client = Client::http1();
    for left in [1, 0] {
        let passed = client.get(gateway.url("/")).send().await;
        assert_eq!(passed.status, 200);
        assert_eq!(passed.header("ratelimit-policy"), Some("\"1h\";q=2;w=3600"));
        let told = passed.header("ratelimit").unwrap();
        assert!(told.starts_with(&format!("\"1h\";r={left};t=")), "{told}");
    }
    let before = origin.requests();
    let refused = client.get(gateway.url("/")).send().await;
    assert_problem(&refused, 429);
    assert_eq!(origin.requests(), before, "the upstream saw nothing of it");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").unwrap().starts_with("\"1h\";r=0;t="));
    let line = gateway.wait_for_log_containing("over the limit `1h`").await;
    assert!(line.contains("rate_limited"), "{line}");
}

#[tokio::test]
async fn many_clients_on_all_workers_are_never_over_the_limit_and_hardly_under() {
    let origin = Origin::start();
    let limits =
        r#"[{ limit = 500, per = "1s", burst = 50 }, { name = "more", limit = 1000000, per = "1s" }]"#;
    let rest = route("/**", &format!(r#"{{ use = "rate-limit", with = {{ by = [], limits = {limits} }} }}"#));
    let gateway = Gateway::start(format!("[gateway]\nworkers = 4\n{}", config(&origin, &rest))).await;
    let began = Instant::now();
    let load = Load::start_with(&Client::http1(), &gateway.url("/"), 16, |_| String::new());
    load.wait_for(|report| report.succeeded >= 1500).await;
    let report = load.stop();
    let most = 50.0 + 500.0 * began.elapsed().as_secs_f64();
    let share = report.succeeded as f64 / most;
    println!("{} passed of {most:.0} that may, {} were refused", report.succeeded, report.failed);
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [429]);
    assert!(share <= 1.0, "never over: {share}");
    assert!(share > 0.95, "and hardly under: {share}");
}

#[tokio::test]
async fn clients_are_told_apart_as_it_is_set() {
    let origin = Origin::start();
    let policy = r#"{ use = "rate-limit", with = { by = [{ header = "x-key" }, "route"], missing = "refuse", limits = [{ limit = 1, per = "1h" }] } }"#;
    let rest = [route("/a", policy), route("/b", policy)].concat();
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let ask = async |path: &str, key: &str| {
        Client::http1().get(gateway.url(path)).header("x-key", key).send().await
    };
    assert_eq!(ask("/a", "one").await.status, 200);
    assert_eq!(ask("/a", "two").await.status, 200);
    assert_eq!(ask("/b", "one").await.status, 200);
    assert_eq!(ask("/a", "one").await.status, 429);
    assert_problem(&Client::http1().get(gateway.url("/a")).send().await, 403);
}

#[tokio::test]
async fn what_was_counted_outlives_a_reload() {
    let origin = Origin::start();
    let text = |headers: bool| {
        let limits = "[{ limit = 2, per = \"1h\" }]";
        let policy = format!(
            "[policy.few]\nuse = \"rate-limit\"\nwith = {{ limits = {limits}, headers = {headers} }}\n"
        );
        config(&origin, &[policy, route("/**", "\"few\"")].concat())
    };
    let gateway = Gateway::start(text(true)).await;
    let ask = async || Client::http1().get(gateway.url("/")).send().await;
    assert!(ask().await.header("ratelimit").is_some());
    gateway.write_config(text(false));
    gateway.wait_for_log_containing("the configuration is live").await;
    let second = ask().await;
    assert_eq!(second.header("ratelimit"), None, "it is the new one");
    assert_eq!([second.status, ask().await.status].map(|it| it.as_u16()), [200, 429]);
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(
        r#"{ use = "rate-limit", with = { limits = [{ limit = 1, per = "1m", by = ["adress"] }] } }"#,
    )
    .await;
    assert!(said.contains("with.limits[0].by[0]") && said.contains("unknown variant `adress`"), "{said}");
}
