//! Clients that take their time.

use super::{config, entry, tls};
use limen_tests::tls::connect;
use limen_tests::{Certs, Client, Gateway, Origin, wire, within};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const QUICK: &str = r#"{ handshake = "300ms", head = "300ms", keep_alive = "300ms", send = "300ms" }"#;

/// What comes until the gateway closes.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut rest = vec![];
    // A reset is an end as well.
    let _ = within("the gateway to close", stream.read_to_end(&mut rest)).await;
    rest
}

#[tokio::test]
async fn whoever_says_nothing_is_let_go() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let secure = tls(&[entry(certs.local(), "")], "");
    let gateway = Gateway::start(
        config(&origin, &format!("limits = {QUICK}"))
            + &format!(
                "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\nlimits = {QUICK}\n{secure}\n"
            ),
    )
    .await;
    let plain = async || TcpStream::connect(gateway.addr("it")).await.unwrap();
    let mut config = certs.client_config_with(None, rustls::DEFAULT_VERSIONS);
    let http1 = Arc::new(config.clone());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = Arc::new(config);

    // In clear text: nothing; half of HTTP/2's preface; all of it.
    assert!(rest(&mut plain().await).await.is_empty());
    for length in [1, 10, 23, 24] {
        let mut stream = plain().await;
        stream.write_all(&wire::PREFACE[..length]).await.unwrap();
        rest(&mut stream).await;
    }
    // By TLS: no handshake; a handshake and nothing; half of HTTP/2's preface.
    rest(&mut TcpStream::connect(gateway.addr("tls")).await.unwrap()).await;
    gateway.wait_for_log_containing("no TLS handshake within 300ms").await;
    rest(&mut connect(gateway.addr("tls"), &http1, "localhost").await.unwrap().stream).await;
    for length in [0, 10, 24] {
        let mut session = connect(gateway.addr("tls"), &http2, "localhost").await.unwrap();
        session.stream.write_all(&wire::PREFACE[..length]).await.unwrap();
        session.stream.flush().await.unwrap();
        rest(&mut session.stream).await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_answered_with_408() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &format!("limits = {QUICK}"))).await;
    let (mut reading, mut writing) = TcpStream::connect(gateway.addr("it")).await.unwrap().into_split();
    let trickle = tokio::spawn(async move {
        // One request that is served, then one that never ends.
        writing.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: ").await.unwrap();
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if writing.write_all(b"a").await.is_err() {
                return;
            }
        }
    });
    let answers = String::from_utf8(rest(&mut reading).await).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 408 Request Timeout"), "{answers}");
    trickle.await.unwrap();
    gateway
        .wait_for_log(|line| {
            line.contains("no whole request head within 300ms") && line.contains("client=127.0.0.1:")
        })
        .await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &format!("limits = {QUICK}"))).await;
    for client in [Client::http1(), Client::http2()] {
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        // Longer than any limit: but it is the origin that takes its time.
        assert_eq!(connection.get("/slow?ms=900").send().await.text(), "slow");
        assert_eq!(connection.get("/").send().await.status, 200);
        limen_tests::eventually("the idle connection to be closed", async || {
            connection.is_closed().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn who_does_not_read_his_answer_is_reset() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &format!("limits = {QUICK}"))).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.addr("it").parse().unwrap()).await.unwrap();
    stream.write_all(b"GET /bytes/100000000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    gateway
        .wait_for_log(|line| line.contains("it took nothing for 300ms") && line.contains("slow-reader"))
        .await;
    let mut waste = vec![0; 1 << 16];
    let mut length = 0;
    let ended = loop {
        match within("the end", stream.read(&mut waste)).await {
            Ok(0) => break "closed",
            Ok(more) => length += more,
            Err(_) => break "reset",
        }
    };
    assert!(length < 100_000_000, "all of it came");
    assert_eq!(ended, "reset");
}

/// The window is closed, the connection is not: other requests go on.
#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_alone() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &format!("limits = {QUICK}"))).await;
    let mut http2 = wire::Http2::connect(gateway.addr("it")).await;
    http2.request(1, "/bytes/1000000").await;
    // As much as the first window takes, and then no more.
    let reset = http2.wait_for(|frame| frame.kind == wire::RST_STREAM).await;
    assert_eq!(reset.stream, 1);
    gateway.wait_for_log_containing("it took nothing of an answer for 300ms").await;
}
