//! What a connection costs that nobody uses.

use super::config;
use limen_tests::wire::{self, Http2};
use limen_tests::{Gateway, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many as a test may hold open beside the others.
const CONNECTIONS: u64 = 400;

fn each(gateway: &Gateway, before: u64) -> u64 {
    gateway.rss_bytes().saturating_sub(before) / CONNECTIONS
}

#[tokio::test]
async fn connections_that_wait_cost_little() {
    let origin = Origin::start();
    let gateway = Gateway::start(format!("[gateway]\nworkers = 1\n{}", config(&origin, ""))).await;
    let before = gateway.rss_bytes();
    let mut open = vec![];
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(gateway.addr("it")).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        open.push(stream);
    }
    let http1 = each(&gateway, before);
    assert!(http1 < 64 << 10, "{http1} bytes for a connection of HTTP/1.1");

    let before = gateway.rss_bytes();
    let mut open = vec![];
    for _ in 0..CONNECTIONS {
        let mut http2 = Http2::connect(gateway.addr("it")).await;
        http2.request(1, "/").await;
        http2.wait_for(|frame| frame.kind == wire::HEADERS).await;
        open.push(http2);
    }
    let http2 = each(&gateway, before);
    assert!(http2 < 96 << 10, "{http2} bytes for a connection of HTTP/2");
}
