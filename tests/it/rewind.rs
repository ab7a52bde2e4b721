//! A fresh isolate is fresh also where it is an old one put back: nothing of an exchange is left for the
//! next.

use crate::common::{BODIES, PATIENT, config_of_one_worker, guest_plugin, guest_plugin_with, route};
use limen_tests::client::Connection;
use limen_tests::{Answer, Client, Gateway, Origin};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";
const SECRET: &[u8] = b"a-secret-of-the-exchange-before";

/// The secret with a bit of each byte turned: to ask for it doesn't bring it in.
fn turned() -> String {
    SECRET.iter().map(|byte| char::from(byte ^ 1)).collect()
}

async fn start(rest: &[String]) -> (Origin, Gateway) {
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
    (origin, gateway)
}

/// What the origin got from the guest, and how it looked for the secret.
async fn look(connection: &mut Connection) -> (String, String) {
    let answer = connection.get("/").header("x-look", &turned()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let headers = answer.json()["headers"].clone();
    let of = |name: &str| headers[name].as_str().unwrap_or_default().to_owned();
    (of("x-found"), of("x-size"))
}

async fn leave(connection: &mut Connection, places: &str) -> Answer {
    let secret = std::str::from_utf8(SECRET).unwrap();
    let request = connection.get("/").header("x-secret", secret).header("x-where", places);
    request.header("x-look-later", &turned()).send().await
}

async fn plugin(gateway: &Gateway) -> serde_json::Value {
    Client::http1().get(gateway.admin_url("/plugins")).send().await.json()[0].clone()
}

#[tokio::test]
async fn nothing_of_an_exchange_is_left_for_the_next() {
    let (_origin, gateway) =
        start(&[ADMIN.to_owned(), guest_plugin("marks"), route("/**", r#""marks""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let (found, size) = look(&mut connection).await;
    assert_eq!(found, "0");
    for places in ["static", "heap", "stack", "static,heap,stack", "grown", "grown,static,stack"] {
        for _ in 0..3 {
            let answer = leave(&mut connection, places).await;
            assert_eq!(answer.status, 200, "{places}: {}", answer.text());
            let later: u64 = answer.header("x-found-later").unwrap().parse().unwrap();
            assert!(later > 100, "{places}: the hooks of one exchange share their isolate: {later}");
            assert_eq!(look(&mut connection).await, ("0".to_owned(), size.clone()), "after {places}");
        }
    }
}

#[tokio::test]
async fn isolates_are_rewound_where_they_can_be() {
    let (_origin, gateway) =
        start(&[ADMIN.to_owned(), guest_plugin("marks"), route("/**", r#""marks""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..50 {
        leave(&mut connection, "static,heap").await;
    }
    let plugin = plugin(&gateway).await;
    if plugin["fresh_isolates"] == "rewound" {
        assert_eq!(plugin["routes"][0]["isolates_made"], 1, "{plugin}");
    } else {
        // Where the kernel doesn't tell what was written.
        assert!(plugin["made_anew_because"].as_str().unwrap().contains("kernel"), "{plugin}");
    }
    assert_eq!(plugin["routes"][0]["calls"], 100, "{plugin}");
}

/// Those that import what there is without handles, waits (`kv`), clocks and random numbers included.
#[tokio::test]
async fn so_are_those_of_all_that_keep_no_handles() {
    let granted = [
        ("bodies", BODIES),
        ("caches", "grants = { cache = true }"),
        ("chance", ""),
        ("counts", "grants = { metrics = true }"),
        ("keeps", "grants = { kv = [\"sessions\"] }"),
        ("logs", ""),
        ("streams", BODIES),
    ];
    let plugins = granted.map(|(name, grants)| guest_plugin_with(name, &format!("{grants}\n{PATIENT}")));
    let names = granted.map(|(name, _)| format!("\"{name}\""));
    let rest = [
        ADMIN.to_owned(),
        "[store.sessions]".to_owned(),
        plugins.join("\n"),
        route("/**", &names.join(", ")),
    ];
    let (_origin, gateway) = start(&rest).await;
    let plugins = Client::http1().get(gateway.admin_url("/plugins")).send().await.json();
    assert_eq!(plugins.as_array().unwrap().len(), granted.len());
    for plugin in plugins.as_array().unwrap() {
        let because = plugin["made_anew_because"].as_str().unwrap_or("kernel");
        assert!(because.contains("kernel"), "{plugin}");
    }
}

#[tokio::test]
async fn an_isolate_whose_memory_has_grown_is_not_used_again() {
    let (_origin, gateway) =
        start(&[ADMIN.to_owned(), guest_plugin("marks"), route("/**", r#""marks""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..10 {
        leave(&mut connection, "grown").await;
    }
    let plugin = plugin(&gateway).await;
    assert_eq!(plugin["routes"][0]["isolates_made"], 10, "{plugin}");
    assert!(plugin["routes"][0]["memory_peak"].as_u64().unwrap() > 1 << 20, "{plugin}");
}

#[tokio::test]
async fn what_keeps_handles_of_the_host_is_made_anew() {
    let (_origin, gateway) =
        start(&[ADMIN.to_owned(), guest_plugin("random-handles"), route("/**", r#""random-handles""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..5 {
        assert_eq!(connection.get("/").header("x-word", "ping").send().await.status, 200);
    }
    let plugin = plugin(&gateway).await;
    assert_eq!(plugin["fresh_isolates"], "made anew", "{plugin}");
    assert_eq!(plugin["routes"][0]["isolates_made"], 5, "{plugin}");
    // Each was configured, which takes a millisecond at least. Its hooks take far less.
    assert!(plugin["routes"][0]["cpu_us"].as_u64().unwrap() > 5_000, "{plugin}");
}

#[tokio::test]
async fn a_reused_isolate_keeps_what_it_was_left() {
    let reused = guest_plugin_with("marks", &format!("isolate = \"reused\"\n{PATIENT}"));
    let (_origin, gateway) = start(&[reused, route("/**", r#""marks""#)]).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    leave(&mut connection, "heap").await;
    assert_ne!(look(&mut connection).await.0, "0");
}
