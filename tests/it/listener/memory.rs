//! What a connection costs: one that nobody uses, and one that is slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{config, entry, tls};
use limen_tests::wire::{self, Http2};
use limen_tests::{Certs, Gateway, Origin, within};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// As many as a test may hold open beside the others.
const CONNECTIONS: u64 = 400;
const UPLOADS: u64 = 32;
/// More than the kernel holds of it, so that the rest must wait somewhere.
const BODY: usize = 16 << 20;

/// What the gateway has taken since then, for each of so many.
fn each(gateway: &Gateway, before: u64, count: u64) -> u64 {
    gateway.rss_bytes().saturating_sub(before) / count
}

/// A request that is answered, so that the connection is an idle one.
async fn http1<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Http2<S> {
    let mut http2 = Http2::over(stream).await;
    http2.request(1, "/").await;
    http2.wait_for(|frame| frame.kind == wire::HEADERS).await;
    http2
}

/// What each of many connections costs that are opened like this and then wait.
async fn idle<C>(gateway: &Gateway, open: impl AsyncFn() -> C) -> u64 {
    // What is there once and for all.
    drop(open().await);
    let before = gateway.rss_bytes();
    let mut all = vec![];
    for _ in 0..CONNECTIONS {
        all.push(open().await);
    }
    each(gateway, before, CONNECTIONS)
}

#[tokio::test]
async fn connections_that_wait_cost_little() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let secure = tls(&[entry(certs.local(), "")], "");
    let config = format!(
        "[gateway]\nworkers = 1\n{}\n[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n{secure}",
        config(&origin, "")
    );
    let plain = async |gateway: &Gateway| TcpStream::connect(gateway.addr("it")).await.unwrap();
    let mut client = certs.client_config_with(None, rustls::DEFAULT_VERSIONS);
    let of_http1 = Arc::new(client.clone());
    client.alpn_protocols = vec![b"h2".to_vec()];
    let of_http2 = Arc::new(client);
    let secure = async |gateway: &Gateway, client: &Arc<rustls::ClientConfig>| {
        limen_tests::tls::connect(gateway.addr("tls"), client, "localhost").await.unwrap().stream
    };

    // One gateway for each: what the one kind leaves free would be the next one's.
    let gateway = Gateway::start(&config).await;
    let each = idle(&gateway, async || http1(plain(&gateway).await).await).await;
    assert!(each < 48 << 10, "{each} bytes for a connection of HTTP/1.1");

    let gateway = Gateway::start(&config).await;
    let each = idle(&gateway, async || http2(plain(&gateway).await).await).await;
    assert!(each < 64 << 10, "{each} bytes for a connection of HTTP/2");

    let gateway = Gateway::start(&config).await;
    let each = idle(&gateway, async || http1(secure(&gateway, &of_http1).await).await).await;
    assert!(each < 96 << 10, "{each} bytes for a connection of HTTP/1.1 over TLS");

    let gateway = Gateway::start(&config).await;
    let each = idle(&gateway, async || http2(secure(&gateway, &of_http2).await).await).await;
    assert!(each < 96 << 10, "{each} bytes for a connection of HTTP/2 over TLS");
}

/// An origin that reads a body of this length once it may, and then answers.
async fn reluctant(may: Arc<Semaphore>) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let may = may.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::with_capacity(256, stream);
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap() > 2 {
                    line.clear();
                }
                let _permit = may.acquire().await.unwrap();
                let _ = stream.get_ref().set_nodelay(true);
                let mut left = BODY;
                let mut waste = vec![0; 1 << 16];
                while left > 0 {
                    left -= stream.read(&mut waste).await.unwrap();
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            });
        }
    });
    address
}

/// Sends a body as long as anybody takes it; then the rest, when it may.
async fn upload(gateway: String, stalled: Arc<Semaphore>, may: Arc<Semaphore>) -> String {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (piece, mut left) = ([0; 1 << 14], BODY);
    while left > 0 {
        let some = &piece[..piece.len().min(left)];
        match timeout(Duration::from_secs(1), stream.write(some)).await {
            Ok(more) => left -= more.unwrap(),
            Err(_) => break,
        }
    }
    assert!(left > 0, "nothing held it back");
    stalled.add_permits(1);
    drop(may.acquire().await.unwrap());
    stream.write_all(&vec![0; left]).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

/// What the origin does not take the client has to keep.
#[tokio::test]
async fn bodies_wait_at_the_client_and_not_in_memory() {
    let (may, stalled) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let origin = reluctant(may.clone()).await;
    let gateway = Gateway::start(format!(
        r#"
        [gateway]
        workers = 1
        [[listener]]
        name    = "it"
        address = "127.0.0.1:0"
        [upstream.origin]
        endpoints = ["http://{origin}"]
        [[route]]
        upstream = "origin"
        "#
    ))
    .await;
    let before = gateway.rss_bytes();
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|_| tokio::spawn(upload(gateway.addr("it"), stalled.clone(), may.clone())))
        .collect();
    let all = u32::try_from(UPLOADS).unwrap();
    let _ = within("the uploads to be held back", stalled.acquire_many(all)).await.unwrap();
    let held = each(&gateway, before, UPLOADS);
    assert!(held < 512 << 10, "{held} bytes for an upload that waits");
    may.add_permits(1 << 10);
    for upload in uploads {
        assert_eq!(within("an upload to go on", upload).await.unwrap(), "HTTP/1.1 204");
    }
}
