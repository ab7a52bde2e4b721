use super::mistake;
use crate::common::{assert_problem, config, route};
use limen_tests::{Answer, Client, Gateway, Origin, RealRedis, eventually};
use std::time::{Duration, Instant};

const POLICY: &str =
    r#"{ use = "quota", with = { per = "month", limit = 3, by = [{ header = "x-user" }] } }"#;

async fn status(gateway: &Gateway, user: &str) -> u16 {
    Client::http1().get(gateway.url("/")).header("x-user", user).send().await.status.as_u16()
}

#[tokio::test]
async fn who_has_used_it_up_is_refused() {
    let origin = Origin::start();
    let gateway = super::gateway(&origin, POLICY).await;
    let first = Client::http1().get(gateway.url("/")).header("x-user", "ada").send().await;
    assert_eq!(first.status, 200);
    assert!(first.header("ratelimit-policy").unwrap().starts_with("\"month\";q=3;w="));
    assert!(first.header("ratelimit").unwrap().starts_with("\"month\";r=2;t="));
    assert_eq!([status(&gateway, "ada").await, status(&gateway, "ada").await], [200, 200]);
    let refused = Client::http1().get(gateway.url("/")).header("x-user", "ada").send().await;
    assert_problem(&refused, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31 * 86_400).contains(&wait), "{wait}");
    assert_eq!(status(&gateway, "eve").await, 200, "another one");
    let line = gateway.wait_for_log_containing("the quota `month` is used up: 3 of 3").await;
    assert!(line.contains("quota_exceeded"), "{line}");
}

/// Not even a kill makes it forget what it counted a moment before.
#[tokio::test]
async fn what_is_used_outlives_the_process() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let text = config(
        &origin,
        &format!("[admin]\naddress = \"127.0.0.1:0\"\n[store]\nfile = {file:?}\n{}", route("/**", POLICY)),
    );
    let gateway = Gateway::start(&text).await;
    assert_eq!([status(&gateway, "ada").await, status(&gateway, "ada").await], [200, 200]);
    let counted = b"sha256:";
    eventually("it is saved", async || {
        let saved = std::fs::read(&file).unwrap_or_default();
        saved.windows(counted.len()).any(|part| part == counted).then_some(())
    })
    .await;
    let told = Client::http1().get(gateway.admin_url("/quotas")).send().await.json();
    let keys: Vec<_> = told[0]["used"].as_object().unwrap().iter().collect();
    assert!(keys.len() == 1 && keys[0].0.starts_with("sha256:") && *keys[0].1 == 2, "{told}");
    let of_one = format!("/quotas?quota={}&key={}", told[0]["name"].as_str().unwrap(), keys[0].0);
    assert_eq!(Client::http1().get(gateway.admin_url(&of_one)).send().await.json(), told);
    drop(gateway);
    let again = Gateway::start(&text).await;
    assert_eq!([status(&again, "ada").await, status(&again, "ada").await], [200, 429]);
}

/// What is counted comes to the kernel within milliseconds, and that outlives a kill at any moment.
#[tokio::test]
async fn a_kill_at_any_moment_loses_next_to_nothing() {
    const WITHIN: Duration = Duration::from_millis(100);
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let policy = POLICY.replace("limit = 3", "limit = 1000000");
    let text = config(&origin, &format!("[store]\nfile = {file:?}\n{}", route("/**", &policy)));
    let used = |answer: &Answer| {
        let (_, left) = answer.header("ratelimit").unwrap().split_once("r=").unwrap();
        1_000_000 - left.split(';').next().unwrap().parse::<usize>().unwrap()
    };
    let mut known = 0;
    for round in 0..6 {
        let mut gateway = Gateway::start(&text).await;
        let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
        // Each with the moment when it was answered.
        let mut answered: Vec<(usize, Instant)> = Vec::new();
        while answered.len() < 150 + 50 * round {
            let answer = connection.get("/").header("x-user", "ada").send().await;
            answered.push((used(&answer), Instant::now()));
        }
        assert!(answered[0].0 > known, "{} after {known}", answered[0].0);
        gateway.signal(rustix::process::Signal::KILL);
        let killed = Instant::now();
        gateway.wait_exit().await;
        known = answered.iter().rev().find(|(_, at)| killed - *at > WITHIN).map_or(known, |(used, _)| *used);
    }
}

/// One that is told to end forgets nothing, however short a while ago it was counted.
#[tokio::test]
async fn what_was_counted_last_is_saved_at_the_end() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let text = config(&origin, &format!("[store]\nfile = {file:?}\n{}", route("/**", POLICY)));
    for left in [2, 1, 0] {
        let mut gateway = Gateway::start(&text).await;
        let answer = Client::http1().get(gateway.url("/")).header("x-user", "ada").send().await;
        let told = answer.header("ratelimit").unwrap();
        assert!(told.starts_with(&format!("\"month\";r={left};")), "{told}");
        gateway.sigterm();
        assert!(gateway.wait_exit().await.success());
    }
}

#[tokio::test]
async fn the_command_shows_what_is_used_and_lets_a_key_begin_anew() {
    let origin = Origin::start();
    let quota = r#"{ use = "quota", with = { per = "month", limit = 2, by = ["route", "address"] } }"#;
    let rest = format!("[admin]\naddress = \"127.0.0.1:0\"\n{}", route("/**", quota));
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let admin = gateway.admin_url("").trim_start_matches("http://").to_owned();
    let run = async |arguments: &[&str]| {
        let arguments = [&["quota"], arguments, &["--admin", &admin]].concat();
        gateway.successor().finish(&arguments).await
    };
    assert_eq!([status(&gateway, "").await, status(&gateway, "").await], [200, 200]);
    assert_eq!(status(&gateway, "").await, 429);
    let shown = run(&["show"]).await;
    assert!(shown.status.success() && shown.stdout.starts_with("/**/quota from 20"), "{shown:?}");
    let line = shown.stdout.lines().nth(1).unwrap().trim();
    let (key, used) = line.split_once("  ").unwrap();
    assert!(key.ends_with("+127.0.0.1") && used == "2", "{shown:?}");
    let json = run(&["show", "--quota", "/**/quota", "--key", key, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["used"][key]), (&"/**/quota".into(), &2.into()), "{json}");

    let reset = run(&["reset", "--quota", "/**/quota", "--key", key]).await;
    assert!(reset.status.success() && reset.stdout.ends_with("/**/quota: it had used 2\n"), "{reset:?}");
    assert_eq!(status(&gateway, "").await, 200, "it begins anew");
    let reset = run(&["reset", "--quota", "/**/quota", "--key", key, "--json"]).await;
    let reset: serde_json::Value = serde_json::from_str(&reset.stdout).unwrap();
    assert_eq!(reset["used"], 1, "{reset}");

    for arguments in [&["show", "--quota", "none"][..], &["reset", "--quota", "none", "--key", key]] {
        let none = run(arguments).await;
        assert!(!none.status.success() && none.stderr.contains("there is no "), "{none:?}");
    }
    let half = run(&["reset", "--quota", "/**/quota"]).await;
    assert!(!half.status.success() && half.stderr.contains("--key"), "{half:?}");
}

#[tokio::test]
async fn a_reload_that_moves_it_is_told_and_each_place_keeps_its_own() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let here = config(&origin, &format!("[store]\nfile = {file:?}\n{}", route("/**", POLICY)));
    let there =
        config(&origin, &format!("[store]\nfile = {file:?}\nurl = \"{redis}\"\n{}", route("/**", POLICY)));
    let gateway = Gateway::start(&here).await;
    let reload = async |text: &str, place: &str| {
        gateway.forget_log();
        gateway.write_config(text);
        gateway.wait_for_log_containing("the configuration is live").await;
        let told = gateway.wait_for_log_containing(place).await;
        assert!(told.contains("WARN") && told.contains("not taken along"), "{told}");
    };
    assert_eq!([status(&gateway, "ada").await, status(&gateway, "ada").await], [200, 200]);
    let saved = async || std::fs::read(&file).unwrap_or_default().windows(7).any(|part| part == b"sha256:");
    eventually("it is saved", async || saved().await.then_some(())).await;
    reload(&there, "the store of [store] `url`").await;
    for status_there in [200, 200, 200, 429] {
        assert_eq!(status(&gateway, "ada").await, status_there);
    }
    reload(&here, "the file of [store]").await;
    assert_eq!([status(&gateway, "ada").await, status(&gateway, "ada").await], [200, 429]);
    drop(gateway);
    let again = Gateway::start(&here).await;
    eventually("it was kept there", async || (status(&again, "ada").await == 429).then_some(())).await;
}

#[tokio::test]
async fn gateways_with_a_store_count_together() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let rest =
        format!("[admin]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"{redis}\"\n{}", route("/**", POLICY));
    let text = config(&origin, &rest);
    let gateways = [Gateway::start(&text).await, Gateway::start(&text).await];
    let mut statuses = Vec::new();
    for gateway in gateways.iter().chain(&gateways) {
        statuses.push(status(gateway, "ada").await);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    let [one, _] = &gateways;
    let told = Client::http1().get(one.admin_url("/quotas")).send().await.json();
    let known: Vec<_> = told[0]["used"].as_object().unwrap().iter().collect();
    assert!(matches!(known[..], [(label, used)] if label.starts_with("sha256:") && used == 3), "{told}");
    let quota = told[0]["name"].as_str().unwrap();
    let of_ada = one.admin_url(&format!("/quotas?quota={quota}&key=ada"));
    let told = Client::http1().get(of_ada).send().await.text();
    assert!(told.contains(": 3"), "whoever knows what was hashed can ask for it: {told}");
    assert_eq!(status(one, "eve").await, 200);
    redis.kill();
    assert_eq!(status(one, "ada").await, 429, "it counts on from what it was told");
    assert_eq!([status(one, "eve").await, status(one, "eve").await], [200, 200]);
    assert_eq!(status(one, "eve").await, 429);
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "quota", with = { per = "day", limit = 1, zone = "Europe/Bonn" } }"#).await;
    assert!(said.contains("no time zone like \"Europe/Berlin\": `Europe/Bonn`"), "{said}");
}
