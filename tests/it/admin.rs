//! The admin listener: what it tells, to whom, and what it does.

use crate::common::{config, plugin, route};
use limen_tests::{Answer, Client, Gateway, Origin, eventually, guest, wire};
use std::os::unix::fs::PermissionsExt;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

async fn start(origin: &Origin, admin: &str, rest: &str) -> Gateway {
    Gateway::start(format!("{admin}{}", config(origin, rest))).await
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    Client::http1().get(gateway.admin_url(path)).send().await
}

fn kind(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.header("content-type").unwrap_or_default())
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let origin = Origin::start();
    let gateway = start(&origin, "", &route("/**", "")).await;
    assert!(gateway.log().iter().all(|line| !line.contains("admin")));
}

#[tokio::test]
async fn it_tells_how_things_are() {
    let origin = Origin::start();
    let rest = [plugin("raw", guest("raw"), ""), route("/raw/{id}", "\"raw\""), route("/**", "")];
    let gateway = start(&origin, ADMIN, &rest.join("\n")).await;
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);

    let ready = ask(&gateway, "/ready").await;
    assert_eq!((kind(&ready), &*ready.text()), ((200, "text/plain; charset=utf-8"), "ready\n"));
    assert_eq!(ask(&gateway, "/live").await.text(), "live\n");

    let metrics = ask(&gateway, "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("http_server_request_duration_seconds_count{"), "{}", metrics.text());

    let routes = ask(&gateway, "/routes").await.json();
    assert_eq!(routes[0]["path"], "/raw/{id}");
    assert_eq!(routes[0]["policies"][0], "raw");
    assert_eq!(routes[0]["listeners"][0], "plain");
    let upstreams = ask(&gateway, "/upstreams").await.json();
    assert_eq!(upstreams[0]["name"], "origin");
    assert_eq!(upstreams[0]["endpoints"][0]["address"], origin.address().to_string());
    assert_eq!(upstreams[0]["endpoints"][0]["condition"], "healthy");
    let plugins = ask(&gateway, "/plugins").await.json();
    assert_eq!((&plugins[0]["name"], &plugins[0]["image"]), (&"raw".into(), &true.into()));

    let index = ask(&gateway, "/").await;
    assert!(index.text().contains("/upstreams"), "{}", index.text());
    let html = Client::http1().get(gateway.admin_url("/")).header("accept", "text/html").send().await;
    assert_eq!(kind(&html), (200, "text/html; charset=utf-8"));

    let missing = ask(&gateway, "/nothing").await;
    assert_eq!(
        (kind(&missing), missing.json()["status"].as_u64()),
        ((404, "application/problem+json"), Some(404))
    );
    let wrong = Client::http1().post(gateway.admin_url("/config")).send().await;
    assert_eq!((kind(&wrong), wrong.header("allow")), ((405, "application/problem+json"), Some("GET,HEAD")));
}

#[tokio::test]
async fn the_running_configuration_is_shown_without_its_secrets() {
    let origin = Origin::start();
    let attached = r#"{ use = "api-key", with = { keys = { ada = "PLANTED-1" }, header = "PLANTED-2" } }"#;
    let rest = [plugin("api-key", limen_tests::plugin("api-key"), ""), route("/**", attached)];
    let text = format!("{ADMIN}token_file = \"PLANTED-3\"\n{}", config(&origin, &rest.join("\n")));
    let setup = Gateway::with(&text).file("PLANTED-3", "PLANTED-4-0123456789\n");
    let gateway = setup.start().await;
    let client = Client::http1();
    let shown =
        client.get(gateway.admin_url("/config")).header("authorization", "Bearer PLANTED-4-0123456789");
    let shown = shown.send().await;
    assert_eq!(shown.status, 200);
    assert!(!shown.text().contains("PLANTED"), "{}", shown.text());
    let content = &shown.json()[0]["content"];
    assert_eq!(content["listener"][0]["name"], "plain");
    assert_eq!(content["route"][0]["policies"][0]["use"], "api-key");
}

#[tokio::test]
async fn a_reload_is_asked_for_and_answered() {
    let origin = Origin::start();
    let gateway = start(&origin, ADMIN, &route("/a", "")).await;
    let reload = async || Client::http1().post(gateway.admin_url("/reload")).send().await;
    let done = reload().await;
    assert_eq!((done.status.as_u16(), done.json()["ok"].as_bool()), (200, Some(true)));

    gateway.write_config(format!(
        "{ADMIN}{}",
        config(&origin, "[[route]]\npath = \"b\"\nupstream = \"orign\"\n")
    ));
    let refused = reload().await;
    assert_eq!(kind(&refused), (422, "application/problem+json"));
    let errors = refused.json()["errors"].clone();
    assert_eq!(errors.as_array().unwrap().len(), 2, "{errors}");
    let upstream =
        errors.as_array().unwrap().iter().find(|it| it["message"] == "no upstream `orign`").unwrap();
    assert_eq!(
        (&upstream["file"], &upstream["hint"]),
        (&"limen.toml".into(), &"did you mean `origin`?".into())
    );
    assert!(upstream["line"].as_u64() > Some(5));
    assert_eq!(Client::http1().get(gateway.url("/a")).send().await.status, 200);

    let last = ask(&gateway, "/reload").await.json();
    assert_eq!(last["last"]["ok"], false);
    assert!(last["refused"].as_u64() >= Some(1) && last["applied"].as_u64() >= Some(1), "{last}");
}

#[tokio::test]
async fn web_pages_of_others_are_kept_out() {
    let origin = Origin::start();
    let gateway = start(&origin, ADMIN, &route("/**", "")).await;
    let client = Client::http1();
    let rebound = client.get(gateway.admin_url("/config")).host("evil.example").send().await;
    assert_eq!(kind(&rebound), (421, "application/problem+json"));
    let local = client.get(gateway.admin_url("/config")).host("localhost:9901").send().await;
    assert_eq!(local.status, 200);
    let post = || client.post(gateway.admin_url("/reload"));
    assert_eq!(post().header("origin", "http://evil.example").send().await.status, 403);
    assert_eq!(post().header("sec-fetch-site", "cross-site").send().await.status, 403);
    assert_eq!(ask(&gateway, "/reload").await.json()["applied"], 0, "nothing was reloaded");
    assert_eq!(post().header("sec-fetch-site", "same-origin").send().await.status, 200);
}

#[tokio::test]
async fn a_token_is_needed_where_one_is_configured() {
    let origin = Origin::start();
    let text = format!("{ADMIN}token_file = \"token\"\n{}", config(&origin, &route("/**", "")));
    let gateway = Gateway::with(&text).file("token", "a-token-of-some-length\n").start().await;
    std::fs::set_permissions(gateway.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let with = async |token: &str| {
        let asking = Client::http1().get(gateway.admin_url("/routes"));
        asking.header("authorization", token).send().await.status.as_u16()
    };
    let without = ask(&gateway, "/routes").await;
    assert_eq!(kind(&without), (401, "application/problem+json"));
    assert_eq!(without.header("www-authenticate"), Some("Bearer"));
    assert_eq!(with("Bearer a-token-of-some-lengtH").await, 401);
    assert_eq!(with("Bearer a-token-of-some-length").await, 200);
    assert_eq!(ask(&gateway, "/ready").await.status, 200, "probes know no token");

    gateway.replace_file("token", "another-token-of-some-length");
    eventually("the new token", async || {
        (with("Bearer another-token-of-some-length").await == 200).then_some(())
    })
    .await;
    assert_eq!(with("Bearer a-token-of-some-length").await, 401);
    gateway.forget_log();
    gateway.replace_file("token", "short");
    gateway.wait_for_log_containing("no good token in token").await;
    assert_eq!(with("Bearer another-token-of-some-length").await, 200);
}

#[tokio::test]
async fn readiness_ends_with_the_signal() {
    let origin = Origin::start();
    let text = format!("[gateway]\ndrain_delay = \"1h\"\n{ADMIN}{}", config(&origin, &route("/**", "")));
    let gateway = Gateway::start(text).await;
    gateway.sigterm();
    let leaving = eventually("not to be ready", async || {
        let answer = ask(&gateway, "/ready").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(leaving.text(), "leaving: about to drain\n");
    assert_eq!(ask(&gateway, "/live").await.status, 200);
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
}

#[tokio::test]
async fn it_comes_and_goes_by_reload() {
    let origin = Origin::start();
    let plain = config(&origin, &route("/**", ""));
    let gateway = Gateway::start(&plain).await;
    gateway.write_config(format!("{ADMIN}{plain}"));
    gateway.wait_for_log_containing("admin on http://").await;
    eventually("the admin listener", async || {
        Client::http1().get(gateway.admin_url("/ready")).try_send().await.ok()
    })
    .await;
    let address = gateway.admin_url("/ready");
    gateway.write_config(&plain);
    eventually("it to be gone", async || {
        Client::http1().get(&address).try_send().await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn nonsense_is_answered_and_ends() {
    let origin = Origin::start();
    let gateway = start(&origin, ADMIN, &route("/**", "")).await;
    let address = gateway.admin_url("").split_once("://").unwrap().1.to_owned();
    let answer = wire::exchange(&address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = wire::exchange(&address, long).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(ask(&gateway, "/live").await.status, 200);
}

/// Workers that have no time for anybody don't keep operators from asking, and reloading.
#[tokio::test]
async fn it_answers_when_the_workers_are_busy() {
    let origin = Origin::start();
    let loops = plugin("loops", guest("loops"), "limits = { cpu = \"10s\", wall = \"1m\" }");
    let rest = [loops, route("/loop", "\"loops\""), route("/**", "")].join("\n");
    let gateway = Gateway::start(format!("[gateway]\nworkers = 1\n{ADMIN}{}", config(&origin, &rest))).await;
    let url = gateway.url("/loop");
    let looping: Vec<_> = (0..32)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                Client::http1().get(url).header("x-naughty", "loop").try_send().await.map(|_| ())
            })
        })
        .collect();
    eventually("32 guests that loop", async || {
        let metrics = ask(&gateway, "/metrics").await.text();
        let active = metrics.lines().find(|line| line.starts_with("http_server_active_requests{"))?;
        active.ends_with(" 32").then_some(())
    })
    .await;
    let started = std::time::Instant::now();
    for page in ["/live", "/ready", "/status", "/upstreams", "/metrics"] {
        assert_eq!(ask(&gateway, page).await.status, 200, "{page}");
    }
    let reloaded = Client::http1().post(gateway.admin_url("/reload")).send().await;
    assert_eq!(reloaded.status, 200);
    // The guests loop for ten seconds of the worker's time each.
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    assert!(looping.iter().any(|it| !it.is_finished()), "they were busy all the time");
}

/// Whoever opens connections and says nothing keeps no probe from its answer.
#[tokio::test]
async fn connections_that_only_wait_make_room() {
    let origin = Origin::start();
    let gateway = start(&origin, ADMIN, &route("/**", "")).await;
    let address = gateway.admin_url("").split_once("://").unwrap().1.to_owned();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    assert_eq!(ask(&gateway, "/ready").await.status, 200);
    assert_eq!(ask(&gateway, "/live").await.status, 200);
    drop(held);
}
