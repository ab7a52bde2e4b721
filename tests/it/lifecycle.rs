//! From start to end: listeners that come and go, drains, and what clients notice of it.

use crate::common::{config, route};
use limen_tests::{Certs, Client, Gateway, Load, Origin, eventually};
use std::net::TcpListener;

fn listener(name: &str, address: &str) -> String {
    format!("[[listener]]\nname = {name:?}\naddress = {address:?}\n")
}

/// A port that nobody has right now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn live(gateway: &Gateway) {
    gateway.wait_for_log_containing("the configuration is live").await;
}

#[tokio::test]
async fn listeners_come_and_go_by_reload_and_others_notice_nothing() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let load = Load::start(&Client::http1(), &gateway.url("/"), 4);
    load.wait_for_more(20).await;
    let client = Client::http1();
    for round in 0..3 {
        // Before the one that stays: its number shifts.
        let second = format!("{}{}", listener("second", "127.0.0.1:0"), config(&origin, &route("/**", "")));
        gateway.forget_log();
        gateway.write_config(second);
        gateway.wait_for_log_containing("(second)").await;
        live(&gateway).await;
        let url = gateway.url_of("second", "/");
        let mut stays = client.connect(&url).await.unwrap();
        assert_eq!(stays.get("/").send().await.status, 200, "round {round}");

        gateway.forget_log();
        gateway.write_config(config(&origin, &route("/**", "")));
        live(&gateway).await;
        // Who has a connection is told to open another one, and does not find one.
        let last = stays.get("/").send().await;
        assert_eq!((last.status.as_u16(), last.header("connection")), (200, Some("close")));
        eventually("the removed listener to be closed", async || {
            client.connect(&url).await.is_err().then_some(())
        })
        .await;
        load.wait_for_more(20).await;
    }
    load.stop().assert_no_failures();
}

#[tokio::test]
async fn a_stream_outlives_its_listener() {
    let origin = Origin::start();
    let both = format!("{}{}", config(&origin, &route("/**", "")), listener("second", "127.0.0.1:0"));
    let gateway = Gateway::start(both).await;
    let mut stream = Client::http1().get(gateway.url_of("second", "/drip?seconds=2")).open().await;
    assert!(stream.piece().await.unwrap().is_some());
    gateway.write_config(config(&origin, &route("/other", "")));
    live(&gateway).await;
    assert_eq!(stream.collect().await.unwrap().text().lines().count(), 19);
}

#[tokio::test]
async fn a_removed_listener_cuts_off_what_is_still_open_after_the_drain_time() {
    let origin = Origin::start();
    let one = format!("[gateway]\ndrain = \"100ms\"\n{}", config(&origin, &route("/**", "")));
    let gateway = Gateway::start(format!("{one}{}", listener("second", "127.0.0.1:0"))).await;
    let stream = Client::http1().get(gateway.url_of("second", "/drip?seconds=600")).open().await;
    gateway.write_config(one);
    live(&gateway).await;
    assert!(stream.collect().await.is_err(), "it was cut off");
}

#[tokio::test]
async fn an_address_moves_and_tls_comes_and_goes() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let (one, other) = (free_address(), free_address());
    let at = |address: &str, tls: &str| {
        config(&origin, &route("/**", "")).replace("127.0.0.1:0\"", &format!("{address}\"\n{tls}"))
    };
    let tls = format!(
        "tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}] }}",
        certs.local().cert,
        certs.local().key
    );
    let gateway = Gateway::start(at(&one, "")).await;
    let (plain, secret) = (Client::http1(), Client::http1().trusting(&certs));
    let mut old = plain.connect(format!("http://{one}/")).await.unwrap();
    assert_eq!(old.get("/").send().await.status, 200);

    gateway.write_config(at(&one, &tls));
    live(&gateway).await;
    eventually("TLS", async || secret.get(format!("https://{one}/")).try_send().await.ok()).await;
    assert_eq!(old.get("/").send().await.status, 200, "a connection stays what it is");

    gateway.forget_log();
    gateway.write_config(at(&other, ""));
    live(&gateway).await;
    assert_eq!(plain.get(format!("http://{other}/")).send().await.status, 200);
    eventually("the old address to be closed", async || {
        plain.connect(format!("http://{one}/")).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_refuses_the_reload_with_its_line() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let other = Gateway::start(config(&origin, &route("/**", ""))).await;
    let taken = other.addr("plain");
    // By another gateway too, whose sockets could be shared.
    let text = format!("{}{}", listener("second", &taken), config(&origin, &route("/**", "")));
    gateway.write_config(text);
    gateway.wait_for_log_containing("the new configuration is refused, the running one serves on:").await;
    gateway.wait_for_log_containing(&format!("can't listen on {taken}")).await;
    gateway.wait_for_log_containing("--> limen.toml:1:1").await;
    gateway.wait_for_log_containing("= hint: another program listens there").await;
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
}

#[tokio::test]
async fn a_file_that_a_refused_configuration_names_is_waited_for() {
    let origin = Origin::start();
    let certs = Certs::new();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let tls = format!(
        "{}tls = {{ certificates = [{{ cert = \"later/cert.pem\", key = {:?} }}] }}\n",
        listener("tls", "127.0.0.1:0"),
        certs.local().key
    );
    gateway.write_config(config(&origin, &format!("{tls}{}", route("/**", ""))));
    gateway.wait_for_log_containing("cannot read `later/cert.pem`: no such file").await;
    std::fs::create_dir(gateway.path("later")).unwrap();
    std::fs::copy(&certs.local().cert, gateway.path("later/cert.pem")).unwrap();
    live(&gateway).await;
    let client = Client::http1().trusting(&certs);
    assert_eq!(client.get(gateway.url_of("tls", "/")).send().await.status, 200);
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_says_so() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let url = gateway.url("/");
    let (one, two) = (Client::http1(), Client::http2());
    let mut idle = one.connect(&url).await.unwrap();
    assert_eq!(idle.get("/").send().await.status, 200);
    let mut http2 = two.connect(&url).await.unwrap();
    assert_eq!(http2.get("/").send().await.status, 200);
    let mut stream = one.get(gateway.url("/drip?seconds=3")).open().await;
    let mut stream2 = two.get(gateway.url("/drip?seconds=3")).open().await;
    assert!(stream.piece().await.unwrap().is_some() && stream2.piece().await.unwrap().is_some());

    gateway.sigterm();
    gateway.wait_for_log_containing("draining").await;
    // The idle one may ask once more.
    let last = idle.get("/").send().await;
    assert_eq!((last.status.as_u16(), last.header("connection")), (200, Some("close")));
    eventually("the HTTP/2 connection to be told", async || http2.is_closed().then_some(())).await;
    eventually("no more connections", async || one.connect(&url).await.is_err().then_some(())).await;
    for stream in [stream, stream2] {
        assert_eq!(stream.collect().await.unwrap().text().lines().count(), 29);
    }
    assert!(gateway.wait_exit().await.success());
    assert!(gateway.log().iter().any(|line| line.contains("drained")));
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let origin = Origin::start();
    let text = format!("[gateway]\ndrain = \"200ms\"\n{}", config(&origin, &route("/**", "")));
    let mut gateway = Gateway::start(text).await;
    let stream = Client::http1().get(gateway.url("/drip?seconds=600")).open().await;
    gateway.sigterm();
    assert!(stream.collect().await.is_err());
    assert!(gateway.wait_exit().await.success());
    assert!(gateway.log().iter().any(|line| line.contains("connections were still open after 200ms")));
}

#[tokio::test]
async fn a_drain_delay_goes_on_taking_connections() {
    let origin = Origin::start();
    let text = format!("[gateway]\ndrain_delay = \"1h\"\n{}", config(&origin, &route("/**", "")));
    let mut gateway = Gateway::start(text).await;
    gateway.sigterm();
    gateway.wait_for_log_containing("leaving: no longer ready").await;
    let answer = eventually("answers that ask for another connection", async || {
        let answer = Client::http1().get(gateway.url("/")).send().await;
        (answer.header("connection") == Some("close")).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 200);
    gateway.sigterm();
    assert_eq!(gateway.wait_exit().await.code(), Some(130), "a second signal ends at once");
}
