//! Clients that come again.

use super::{config, entry, tls};
use limen_tests::tls::connect;
use limen_tests::{Certs, Gateway, Origin, eventually};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whether this visit resumed the one before; tickets come with the answer to a request.
async fn visit(gateway: &Gateway, client: &Arc<rustls::ClientConfig>) -> bool {
    let mut session = connect(gateway.addr("it"), client, "localhost").await.unwrap();
    session.stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    session.stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    session.is_resumed()
}

async fn reload(gateway: &Gateway) {
    gateway.forget_log();
    gateway.sighup();
    gateway.wait_for_log_containing("the configuration is live").await;
}

#[tokio::test]
async fn sessions_are_resumed_at_every_worker_and_after_reloads() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let tls = tls(&[entry(certs.local(), "")], "");
    let gateway = Gateway::start(format!("[gateway]\nworkers = 2\n{}", config(&origin, &tls))).await;
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(certs.client_config_with(None, &[version]));
        assert!(!visit(&gateway, &client).await);
        for _ in 0..8 {
            assert!(visit(&gateway, &client).await, "{version:?}");
        }
        reload(&gateway).await;
        assert!(visit(&gateway, &client).await, "{version:?} after a reload");
    }
}

#[tokio::test]
async fn sessions_are_not_resumed_where_the_config_says_so() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway =
        Gateway::start(config(&origin, &tls(&[entry(certs.local(), "")], "resumption = false"))).await;
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(certs.client_config_with(None, &[version]));
        assert!(!visit(&gateway, &client).await);
        assert!(!visit(&gateway, &client).await);
    }
}

#[tokio::test]
async fn clients_that_are_verified_by_others_now_are_verified_anew() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let auth = |mode: &str| format!("client_auth = {{ ca = {:?}, mode = {mode:?} }}", certs.ca());
    let with = |mode| config(&origin, &tls(&[entry(certs.local(), "")], &auth(mode)));
    let gateway = Gateway::start(with("optional")).await;
    let client = Arc::new(certs.client_config_with(None, &[&TLS13]));
    assert!(!visit(&gateway, &client).await);
    assert!(visit(&gateway, &client).await);
    gateway.forget_log();
    gateway.write_config(with("required"));
    gateway.wait_for_log_containing("the configuration is live").await;
    // With the ticket it has it would come in without a certificate.
    eventually("the client to be refused", async || {
        let Ok(mut session) = connect(gateway.addr("it"), &client, "localhost").await else {
            return Some(());
        };
        let _ = session.stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        session.stream.read_u8().await.is_err().then_some(())
    })
    .await;
}
