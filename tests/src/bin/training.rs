//! `limen-training LIMEN TARGET`: has a gateway serve what gateways usually serve, so that a compiler can learn from
//! it which of its code is called and how often. `cargo xtask dist` builds with what it has learnt.
//!
//! LIMEN is the gateway's binary, TARGET the folder below which the reference plugins were built.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use limen_tests::{Certs, Client, Gateway, Load, Origin, body};

/// At a time, of each load.
const CONNECTIONS: usize = 32;
/// How often each kind of small request is made.
const REQUESTS: u64 = 20_000;
/// How often each kind of body is sent.
const BODIES: usize = 300;
/// The length of a body.
const LENGTH: u64 = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The gateway is run in a folder of its own.
    let arguments: Result<Vec<PathBuf>, _> = arguments.iter().map(std::path::absolute).collect();
    let Ok([limen, target]) = arguments.as_deref() else {
        eprintln!("usage: limen-training LIMEN TARGET");
        return ExitCode::from(2);
    };
    let (origin, certs) = (Origin::start(), Certs::new());
    let config = config(&origin, &certs, target);
    let mut gateway = Gateway::with(config).binary(limen).start().await;
    small_requests(&gateway, &certs).await;
    bodies(&gateway, &certs).await;
    // It writes down what it has counted when it ends.
    gateway.sigterm();
    let status = gateway.wait_exit().await;
    if !status.success() {
        eprintln!("error: the gateway ended with {status}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn config(origin: &Origin, certs: &Certs, target: &Path) -> String {
    let component = |name: &str| target.join(format!("wasm32-wasip2/release/{name}.wasm"));
    let (region, redact) = (component("region"), component("redact_json"));
    let (cert, key) = (&certs.local().cert, &certs.local().key);
    let by_country = r#"with = { default = { request = { x-region = "world" }, response = { x-served-for = "world" } }, regions = {} }"#;
    format!(
        r#"
        [gateway]
        workers = 1

        [[listener]]
        address = "127.0.0.1:0"
        name    = "plain"
        [[listener]]
        address = "127.0.0.1:0"
        name    = "tls"
        [listener.tls]
        certificates = [{{ cert = {cert:?}, key = {key:?} }}]

        [log]
        access = true

        [upstream.origin]
        endpoints = ["{origin}"]

        [plugin.fresh]
        component = {region:?}
        [plugin.reused]
        component = {region:?}
        isolate   = "reused"
        [plugin.redact]
        component = {redact:?}
        grants    = {{ response_body = true }}

        [[route]]
        path     = "/**"
        upstream = "origin"
        [[route]]
        path     = "/fresh/**"
        upstream = "origin"
        policies = [{{ use = "fresh", {by_country} }}]
        [[route]]
        path     = "/reused/**"
        upstream = "origin"
        policies = [{{ use = "reused", {by_country} }}]
        [[route]]
        path     = "/users/{{id}}"
        upstream = "origin"
        policies = [{{ use = "redact", with = {{ keys = ["password_hash"] }} }}]
        [[route]]
        path     = "/native/**"
        upstream = "origin"
        policies = [
            {{ use = "cors", with = {{ origins = ["https://app.example"] }} }},
            {{ use = "rate-limit", with = {{ limits = [{{ limit = 1000000, per = "1s" }}] }} }},
            {{ use = "headers", with = {{ response = {{ set = {{ server = "api" }} }} }} }},
        ]
        "#
    )
}

async fn small_requests(gateway: &Gateway, certs: &Certs) {
    let (http1, http2) = (Client::http1().trusting(certs), Client::http2().trusting(certs));
    for (client, listener, path, of_all) in [
        (&http1, "plain", "/status/200", 1),
        (&http1, "plain", "/fresh/a", 1),
        (&http1, "plain", "/reused/a", 1),
        (&http1, "plain", "/native/a", 2),
        (&http1, "plain", "/users/1", 4),
        (&http1, "tls", "/json", 2),
        (&http2, "tls", "/json", 2),
        (&http2, "tls", "/fresh/a", 2),
    ] {
        let load = Load::start_with(client, &gateway.url_of(listener, path), CONNECTIONS, |_| String::new());
        load.wait_for_more(REQUESTS / of_all).await;
        load.stop().assert_no_failures();
    }
}

async fn bodies(gateway: &Gateway, certs: &Certs) {
    for (client, listener) in [(Client::http1(), "plain"), (Client::http2().trusting(certs), "tls")] {
        let connection = client.connect(gateway.url_of(listener, "/")).await;
        let mut connection = connection.unwrap_or_else(|error| panic!("no connection: {error}"));
        for number in 0..BODIES {
            let (content, query) = match number % 2 {
                0 => (body::sized(LENGTH), ""),
                _ => (body::chunked(LENGTH), "?chunked"),
            };
            assert_eq!(connection.post("/upload").stream(content).send().await.status, 200);
            let answer = connection.get(&format!("/bytes/{LENGTH}{query}")).send().await;
            assert_eq!(answer.body.len() as u64, LENGTH);
        }
    }
}
