//! Keys that gateways share through a Redis, and what becomes of them while it does not answer, or forgets them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::api_key::{ADMIN, ask, audit, key, run, text};
use crate::common::{config, route};
use limen_tests::{
    Certs, Finished, Gateway, LossyLine, Origin, REDIS_PASSWORD, RealRedis, Setup, eventually,
};
use serde_json::{Value, json};

const PEPPER: &str = "the pepper of all gateways";

fn text_of(origin: &Origin, store: &str) -> String {
    let store = format!("[store]\npepper = \"pepper\"\n{store}\n[secret.pepper]\nfile = \"pepper\"\n");
    format!("{store}{ADMIN}{}", config(origin, &route("/**", "\"api-key\"")))
}

fn url(redis: &RealRedis) -> String {
    format!("url = \"{redis}\"")
}

fn setup(origin: &Origin, store: &str) -> Setup {
    Gateway::with(text_of(origin, store)).file("pepper", PEPPER)
}

// In boxes, so that what tests wait for fits on their stacks.

async fn start(origin: &Origin, redis: &RealRedis) -> Gateway {
    Box::pin(setup(origin, &url(redis)).start()).await
}

async fn create(gateway: &Gateway, consumer: &str) -> (String, String) {
    let made = Box::pin(key(gateway, &["create", "--consumer", consumer])).await;
    (text(&made, "id").to_owned(), text(&made, "key").to_owned())
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    Box::pin(ask(gateway, key)).await.status.as_u16()
}

/// How long it takes until a key is answered like this.
async fn until(gateway: &Gateway, key: &str, wanted: u16) -> Duration {
    let began = Instant::now();
    eventually("the other gateway knows", async || (status(gateway, key).await == wanted).then_some(()))
        .await;
    began.elapsed()
}

async fn listed(gateway: &Gateway) -> BTreeSet<(String, String)> {
    let listed = Box::pin(key(gateway, &["list"])).await;
    let keys = listed["keys"].as_array().unwrap().iter();
    keys.map(|key| (text(key, "id").to_owned(), text(key, "state").to_owned())).collect()
}

fn assert_refused(finished: &Finished, why: &str) {
    assert!(!finished.status.success() && finished.stderr.contains(why), "{finished:?}");
}

const AWAY: &str = "the store that gateways share does not answer; nothing was changed";

#[tokio::test]
async fn what_one_gateway_changes_the_others_know_within_a_second() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let (one, other) = (start(&origin, &redis).await, start(&origin, &redis).await);
    let (id, first) = create(&one, "ada").await;
    assert_eq!(status(&one, &first).await, 200, "here from the next request on");
    let mut took = vec![until(&other, &first, 200).await];

    let second = key(&other, &["rotate", &id, "--overlap", "1h"]).await;
    assert_eq!(status(&other, text(&second, "key")).await, 200);
    took.push(until(&one, text(&second, "key"), 200).await);
    assert_eq!([status(&one, &first).await, status(&other, &first).await], [200, 200], "both, for an hour");
    assert_eq!(text(&key(&one, &["show", &id]).await, "replaced_by"), text(&second, "id"));

    key(&one, &["revoke", &id]).await;
    assert_eq!(status(&one, &first).await, 401, "from the next request on");
    took.push(until(&other, &first, 401).await);
    println!("the other gateway knew after {took:?}");
    assert!(took.iter().all(|took| *took < Duration::from_secs(1)), "{took:?}");

    // What is known of its use is known at all of them, when somebody asks.
    let used = text(&key(&one, &["show", text(&second, "id")]).await, "last_used").to_owned();
    assert!(text(&key(&other, &["show", text(&second, "id")]).await, "last_used") >= &*used);
    let what = |gateway: &Gateway| -> Vec<String> {
        let lines = audit(&gateway.path("audit.log"));
        lines.iter().map(|line| text(line, "what").to_owned()).collect()
    };
    assert_eq!(what(&one), ["config", "key.create", "key.revoke"], "each change where it was made");
    assert_eq!(what(&other), ["config", "key.rotate"]);
    let logs = [one.log(), other.log()].concat().join("\n");
    assert!(!logs.contains(REDIS_PASSWORD) && !logs.contains(PEPPER));
}

#[tokio::test]
async fn changes_at_the_same_time_lose_nothing() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    // On a busy machine as well: what is late here is refused, and that is another test.
    let patient = format!("{}\ntimeout = \"2s\"", url(&redis));
    let start = || Box::pin(setup(&origin, &patient).start());
    let gateways = [start().await, start().await];
    let urls = gateways.each_ref().map(|gateway| gateway.admin_url("/keys"));
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let url = urls[number % 2].clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for round in 0..10 {
                    let client = limen_tests::Client::http1();
                    let asked = client.post(&url).body(r#"{"consumer":"ada"}"#).send().await;
                    assert_eq!(asked.status, 201, "{}", asked.text());
                    let key = asked.json();
                    let is_revoked = round % 3 == 0;
                    if is_revoked {
                        let asked =
                            client.request("DELETE".parse().unwrap(), format!("{url}/{}", text(&key, "id")));
                        assert_eq!(asked.send().await.status, 200);
                    }
                    made.push((text(&key, "id").to_owned(), is_revoked));
                }
                made
            })
        })
        .collect();
    let mut made = BTreeSet::new();
    for task in tasks {
        let state = |is_revoked| if is_revoked { "revoked" } else { "active" }.to_owned();
        made.extend(task.await.unwrap().into_iter().map(|(id, is_revoked)| (id, state(is_revoked))));
    }
    assert_eq!(made.len(), 80);
    for gateway in &gateways {
        eventually("all of them", async || (listed(gateway).await == made).then_some(())).await;
    }
}

#[tokio::test]
async fn while_it_is_away_keys_are_as_they_were() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let (one, mut other) = (start(&origin, &redis).await, start(&origin, &redis).await);
    let (id, ada) = create(&one, "ada").await;
    until(&other, &ada, 200).await;
    let bob = create(&one, "bob").await;
    key(&one, &["revoke", &bob.0]).await;
    until(&other, &bob.1, 401).await;

    redis.stop();
    let began = Instant::now();
    assert_eq!([status(&one, &ada).await, status(&other, &ada).await], [200, 200]);
    assert!(began.elapsed() < Duration::from_secs(1), "no request waits for it: {:?}", began.elapsed());
    assert_refused(&run(&one, &["revoke", &id]).await, AWAY);
    one.wait_for_log_containing("API keys are as this gateway has seen them last").await;
    redis.go_on();
    one.wait_for_log_containing("API keys are those that gateways share again").await;
    assert_eq!(status(&one, &ada).await, 200);

    redis.kill();
    other.sigterm();
    other.wait_exit().await;
    let other = other.successor().start().await;
    let told = other.wait_for_log_containing("API keys are as this gateway has seen them last").await;
    assert!(told.contains("keys=2") || told.contains("\"keys\":2"), "{told}");
    for gateway in [&one, &other] {
        assert_eq!([status(gateway, &ada).await, status(gateway, &bob.1).await], [200, 401]);
        assert_refused(&run(gateway, &["create", "--consumer", "eve"]).await, AWAY);
        assert_eq!(listed(gateway).await.len(), 2);
    }
    assert_eq!(audit(&one.path("audit.log")).len(), 4, "what was not done is not noted");

    // This one comes back with nothing: it is given what they know.
    redis.restart();
    for gateway in [&one, &other] {
        gateway.wait_for_log_containing("API keys are those that gateways share again").await;
    }
    key(&other, &["revoke", &id]).await;
    until(&one, &ada, 401).await;
    assert_eq!(listed(&one).await, listed(&other).await);
}

#[tokio::test]
async fn a_store_that_forgets_loses_no_key_and_no_revocation() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let (one, other) = (start(&origin, &redis).await, start(&origin, &redis).await);
    let (ada, bob) = (create(&one, "ada").await, create(&one, "bob").await);
    key(&one, &["revoke", &bob.0]).await;
    until(&other, &ada.1, 200).await;
    until(&other, &bob.1, 401).await;
    redis.flush();
    eventually("one of them gives them back", async || {
        let is_told =
            |gateway: &Gateway| gateway.log().iter().any(|line| line.contains("the store lacks 2 API keys"));
        (is_told(&one) || is_told(&other)).then_some(())
    })
    .await;
    let eve = create(&other, "eve").await;
    until(&one, &eve.1, 200).await;
    for gateway in [&one, &other] {
        assert_eq!([status(gateway, &ada.1).await, status(gateway, &bob.1).await], [200, 401]);
    }
    // A gateway that was never there has them as well.
    let third = start(&origin, &redis).await;
    assert_eq!(listed(&third).await.len(), 3);
    assert_eq!([status(&third, &ada.1).await, status(&third, &bob.1).await], [200, 401]);
}

#[tokio::test]
async fn what_became_of_a_change_is_known_where_it_can_be() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let line = LossyLine::to(redis.address(), "\"consumer\":\"bob\"").await;
    let one = Box::pin(setup(&origin, &format!("url = \"{line}\"")).start()).await;
    let (id, bob) = create(&one, "bob").await;
    one.wait_for_log_containing("the store does not answer").await;
    assert_eq!(status(&one, &bob).await, 200, "it was made, and is shown");
    let done = || audit(&one.path("audit.log")).len();
    assert_eq!(done(), 2, "and noted");

    redis.ask("CONFIG SET maxmemory 1");
    assert_refused(&run(&one, &["revoke", &id]).await, "gateways share refuses it: OOM; nothing was changed");
    assert_eq!((status(&one, &bob).await, done()), (200, 2));
    redis.ask("CONFIG SET maxmemory 0");
    key(&one, &["revoke", &id]).await;
    assert_eq!(status(&one, &bob).await, 401);
}

#[tokio::test]
async fn a_store_that_falls_back_undoes_no_rotation() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let (one, other) = (start(&origin, &redis).await, start(&origin, &redis).await);
    let (id, leaked) = create(&one, "ada").await;
    until(&other, &leaked, 200).await;
    let names = ["records", "changes", "head"];
    for name in names {
        assert_eq!(redis.ask(&format!("COPY limen:key:{name} before:{name}")).trim(), ":1");
    }
    let next = key(&one, &["rotate", &id, "--overlap", "0s"]).await;
    let next = text(&next, "key");
    until(&other, next, 200).await;
    // The head last: then they see that it is another story.
    for name in names {
        assert_eq!(redis.ask(&format!("COPY before:{name} limen:key:{name} REPLACE")).trim(), ":1");
    }
    eventually("it is told again", async || {
        redis.ask(&format!("HGET limen:key:records {id}")).contains("\"expires\":1").then_some(())
    })
    .await;
    let third = start(&origin, &redis).await;
    for gateway in [&one, &other, &third] {
        until(gateway, next, 200).await;
        assert_eq!(status(gateway, &leaked).await, 401);
    }
    assert_eq!(listed(&third).await, listed(&one).await);
}

#[tokio::test]
async fn keys_of_one_gateway_become_those_of_all() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let mut one = setup(&origin, "").start().await;
    let other = start(&origin, &redis).await;
    let (ada, eve) = (create(&one, "ada").await, create(&other, "eve").await);
    one.write_config(text_of(&origin, &url(&redis)));
    one.wait_for_log_containing("the configuration is live").await;
    assert_eq!([status(&one, &ada.1).await, status(&one, &eve.1).await], [200, 200]);
    until(&other, &ada.1, 200).await;
    key(&one, &["revoke", &eve.0]).await;
    until(&other, &eve.1, 401).await;

    // Its file is a mirror of these now, and not to be mixed with others.
    one.sigterm();
    one.wait_exit().await;
    let strangers = RealRedis::start().unwrap();
    let stranger = start(&origin, &strangers).await;
    create(&stranger, "mallory").await;
    one.write_config(text_of(&origin, &url(&strangers)));
    assert_refused(
        &one.successor().run().await,
        "the store has other keys than those that this gateway's file is a mirror of",
    );
}

#[tokio::test]
async fn gateways_with_different_peppers_are_told() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let one = start(&origin, &redis).await;
    let told = setup(&origin, &url(&redis)).file("pepper", "another").run().await;
    assert_eq!(told.status.code(), Some(1));
    assert_refused(&told, "hashed with another pepper than the one of this gateway");
    assert!(told.stderr.contains("hint:") && told.stderr.contains("limen.toml:"), "{}", told.stderr);

    let without = text_of(&origin, &url(&redis)).replace("pepper = \"pepper\"\n", "");
    let told = Gateway::with(without).file("pepper", PEPPER).check().await;
    assert_refused(&told, "keys that gateways share need a pepper that they share");
    assert!(told.stderr.contains("limen.toml:"), "{}", told.stderr);

    // Replaced in two steps, so that at no moment one has a key that another can't check.
    let with = |previous: &str| {
        let secret = format!("file = \"pepper\"\nprevious = {{ file = \"{previous}\" }}\n");
        text_of(&origin, &url(&redis)).replace("file = \"pepper\"\n", &secret)
    };
    let other = Gateway::with(with("next")).file("pepper", PEPPER).file("next", "the next").start().await;
    let ada = create(&one, "ada").await;
    until(&other, &ada.1, 200).await;
    let ahead = Gateway::with(with("before")).file("pepper", "the next").file("before", PEPPER).start().await;
    let eve = create(&ahead, "eve").await;
    until(&other, &eve.1, 200).await;
    one.wait_for_log_containing("hashed with another pepper than the one of this gateway").await;
    assert_refused(&run(&one, &["create", "--consumer", "bob"]).await, "another pepper");
    assert_eq!(status(&one, &ada.1).await, 200, "it serves on with what it can check");
    key(&ahead, &["revoke", &ada.0]).await;
    until(&one, &ada.1, 401).await;
}

#[tokio::test]
async fn a_gateway_may_be_off_while_the_pepper_is_replaced() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let mut off = start(&origin, &redis).await;
    let ada = create(&off, "ada").await;
    off.sigterm();
    off.wait_exit().await;

    let secret = "file = \"pepper\"\nprevious = { file = \"before\" }\n";
    let both = text_of(&origin, &url(&redis)).replace("file = \"pepper\"\n", secret);
    let ahead = Gateway::with(both).file("pepper", "the next").file("before", PEPPER).start().await;
    key(&ahead, &["revoke", &ada.0]).await;
    let eve = create(&ahead, "eve").await;

    off.replace_file("pepper", "the next");
    let on = Box::pin(off.successor().start()).await;
    assert_eq!([status(&on, &ada.1).await, status(&on, &eve.1).await], [401, 200]);
}

#[tokio::test]
async fn over_tls_to_a_server_that_is_trusted() {
    let certs = Certs::new();
    let Some(redis) = RealRedis::start_tls(&certs) else { return };
    let origin = Origin::start();
    let trusting = || setup(&origin, &url(&redis)).env("SSL_CERT_FILE", certs.ca().to_str().unwrap());
    let (one, other) = (trusting().start().await, trusting().start().await);
    let (_, ada) = create(&one, "ada").await;
    until(&other, &ada, 200).await;
    let strange = Certs::new();
    let distrusting = setup(&origin, &url(&redis)).env("SSL_CERT_FILE", strange.ca().to_str().unwrap());
    let distrusting = distrusting.start().await;
    distrusting.wait_for_log_containing("the store does not answer").await;
    assert_eq!(status(&distrusting, &ada).await, 401, "it was never told of any key");
    assert_refused(&run(&distrusting, &["create", "--consumer", "bob"]).await, AWAY);
}

#[tokio::test]
async fn many_keys_come_page_by_page() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let one = start(&origin, &redis).await;
    let keys: Vec<_> =
        (0..1700).map(|number| json!({ "key": format!("{number:016}"), "consumer": "ada" })).collect();
    std::fs::write(one.path("keys.json"), Value::from(keys).to_string()).unwrap();
    assert_eq!(
        key(&one, &["import", "keys.json"]).await,
        json!({ "imported": 1700, "known": 0, "expired": 0 })
    );
    let other = start(&origin, &redis).await;
    assert_eq!(listed(&other).await, listed(&one).await);
    assert_eq!(status(&other, "0000000000001699").await, 200);
}
