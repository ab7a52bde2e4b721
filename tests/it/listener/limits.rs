//! How much a client may have, and what it hears when that is too much.

use super::config;
use limen_tests::{Client, Gateway, Origin, eventually, wire, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Whether the gateway serves a new connection from this address, and the connection.
async fn visit(gateway: &Gateway, from: &str) -> (bool, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(gateway.addr("it").parse().unwrap()).await.unwrap();
    let served = within("an answer or the end", async {
        // It may be closed already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.is_ok() && status == *b"HTTP/1.1 200"
    })
    .await;
    (served, stream)
}

#[tokio::test]
async fn connections_are_counted_in_total_and_by_client() {
    let origin = Origin::start();
    let limits = "limits = { connections = 4, connections_per_client = 3 }";
    let gateway = Gateway::start(format!("[gateway]\nworkers = 2\n{}", config(&origin, limits))).await;
    let mut open = vec![];
    for _ in 0..3 {
        let (served, stream) = visit(&gateway, "127.0.0.1").await;
        assert!(served);
        open.push(stream);
    }
    assert!(!visit(&gateway, "127.0.0.1").await.0);
    gateway
        .wait_for_log(|line| {
            line.contains("3 connections of this client are open") && line.contains("127.0.0.1:")
        })
        .await;
    let (served, other) = visit(&gateway, "127.0.0.2").await;
    assert!(served);
    open.push(other);
    assert!(!visit(&gateway, "127.0.0.3").await.0);
    gateway.wait_for_log(|line| line.contains("4 connections are open") && line.contains("127.0.0.3:")).await;
    // What has ended makes room.
    open.remove(0);
    eventually("room for another", async || visit(&gateway, "127.0.0.1").await.0.then_some(())).await;
}

#[tokio::test]
async fn many_refusals_are_few_lines() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, "limits = { connections = 1 }")).await;
    let (served, open) = visit(&gateway, "127.0.0.1").await;
    assert!(served);
    for _ in 0..300 {
        assert!(!visit(&gateway, "127.0.0.2").await.0);
    }
    eventually("a line that tells how many were left out", async || {
        visit(&gateway, "127.0.0.2").await;
        gateway.log().iter().any(|line| line.contains("left_out=")).then_some(())
    })
    .await;
    let lines = gateway.log().iter().filter(|line| line.contains("1 connections are open")).count();
    assert!(lines < 200, "{lines} lines");
    drop(open);
}

#[tokio::test]
async fn heads_that_are_too_large_are_answered_and_told() {
    let origin = Origin::start();
    let limits = "limits = { head_size = \"8KiB\", headers = 20, target = 1000 }";
    let gateway = Gateway::start(config(&origin, limits)).await;
    let raw = async |head: String| {
        let answer = wire::exchange(gateway.addr("it"), head).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let head = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}\r\n")
    };
    assert_eq!(raw(head("/", &headers(18))).await, "200");
    assert_eq!(raw(head("/", &headers(19))).await, "431");
    assert_eq!(raw(head(&format!("/{}", "a".repeat(999)), "")).await, "200");
    assert_eq!(raw(head(&format!("/{}", "a".repeat(1000)), "")).await, "414");
    assert_eq!(raw(head("/", &format!("x: {}\r\n", "a".repeat(8000)))).await, "200");

    // Far more than is read of it: the answer arrives all the same.
    assert_eq!(raw(head("/", &format!("x: {}\r\n", "a".repeat(200_000)))).await, "431");
    gateway.wait_for_log(|line| line.contains("large-head") && line.contains("client=127.0.0.1:")).await;
    assert_eq!(raw("GET / HTTP/1.1\r\nhost: a\r\nbad header: 1\r\n\r\n".to_owned()).await, "400");
    gateway.wait_for_log(|line| line.contains("malformed") && line.contains("client=127.0.0.1:")).await;

    let client = Client::http2();
    let with = async |count: usize, length: usize| {
        let mut request = client.get(gateway.url("/"));
        for n in 0..count {
            request = request.header(&format!("x-{n}"), &"a".repeat(length));
        }
        request.send().await.status.as_u16()
    };
    assert_eq!(with(20, 1).await, 200);
    assert_eq!(with(21, 1).await, 431);
    assert_eq!(with(10, 1000).await, 431);
    let long = client.get(gateway.url(&format!("/{}", "a".repeat(1000)))).send().await;
    assert_eq!(long.status, 414);
}

/// Each by its own limit, however near it is to that of the whole head.
#[tokio::test]
async fn a_long_target_is_told_from_a_large_head() {
    let origin = Origin::start();
    let plain = Gateway::start(config(&origin, "")).await;
    let large = Gateway::start(config(&origin, "limits = { head_size = \"1MiB\", target = 65534 }")).await;
    let status = async |gateway: &Gateway, length: usize| {
        let target = format!("/{}", "a".repeat(length - 1));
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = wire::exchange(gateway.addr("it"), head).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status(&plain, 8 << 10).await, "200");
    assert_eq!(status(&plain, (8 << 10) + 1).await, "414");
    assert_eq!(status(&plain, 60_000).await, "414");
    assert_eq!(status(&plain, 70_000).await, "431");
    // More than a URI may have in the program at all.
    assert_eq!(status(&large, 65_535).await, "414");
    assert_eq!(status(&large, 500_000).await, "414");
}
