//! HTTP/2 endpoints that set limits, refuse and go away.

use crate::common::config_of_one_worker;
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use limen_tests::{Client, Gateway, Origin, eventually, within};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

type Arrived = (http::Request<h2::RecvStream>, SendResponse<Bytes>);

/// Counts what comes, and answers what it is let.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Seen {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A server whose connections are served by `serve`; it ends with the test's runtime.
async fn server<F: Future<Output = ()> + Send + 'static>(
    streams: u32,
    serve: impl Fn(Connection<TcpStream, Bytes>, usize, Arc<Seen>) -> F + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let here = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let number = here.connections.fetch_add(1, Ordering::Relaxed);
            let mut builder = Builder::new();
            builder.max_concurrent_streams(streams);
            if let Ok(connection) = builder.handshake(socket).await {
                tokio::spawn(serve(connection, number, here.clone()));
            }
        }
    });
    (address, seen)
}

fn answer((_, mut respond): Arrived) {
    let mut body = respond.send_response(http::Response::new(()), false).unwrap();
    body.send_data("served".into(), true).unwrap();
}

async fn gateway(address: SocketAddr) -> (Origin, Gateway) {
    let origin = Origin::start();
    let rest = format!(
        "[upstream.h2]\nendpoints = [\"http://{address}\"]\nprotocol = \"http2\"\n\
         [[route]]\npath = \"/h2/**\"\nupstream = \"h2\"\n"
    );
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    (origin, gateway)
}

/// A connection takes what its endpoint allows; the next request gets another one instead of waiting.
#[tokio::test]
async fn a_full_connection_is_joined_by_another() {
    let gate = Arc::new(Semaphore::new(0));
    let open = gate.clone();
    let (address, seen) = server(2, move |mut connection, _, seen| {
        let gate = gate.clone();
        async move {
            while let Some(Ok(arrived)) = connection.accept().await {
                seen.requests.fetch_add(1, Ordering::Relaxed);
                let gate = gate.clone();
                tokio::spawn(async move {
                    let _through = gate.acquire().await;
                    answer(arrived);
                });
            }
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = gateway.url("/h2/x");
        under_way.spawn(async move { Client::http1().get(url).send().await });
    }
    eventually("all six to arrive", async || (seen.requests() == 6).then_some(())).await;
    assert_eq!(seen.connections(), 3);
    open.add_permits(6);
    for answer in under_way.join_all().await {
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "served"));
    }
    // There is room again.
    assert_eq!(Client::http1().get(gateway.url("/h2/x")).send().await.status, 200);
    assert_eq!(seen.connections(), 3);
}

/// REFUSED_STREAM says that nothing was done: it is sent again, whatever it was.
#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let (address, seen) = server(100, |mut connection, _, seen| async move {
        while let Some(Ok(mut arrived)) = connection.accept().await {
            match seen.requests.fetch_add(1, Ordering::Relaxed) {
                0 => arrived.1.send_reset(h2::Reason::REFUSED_STREAM),
                _ => answer(arrived),
            }
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    let answer = Client::http1().request(http::Method::DELETE, gateway.url("/h2/x")).send().await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "served"));
    assert_eq!(seen.requests(), 2);
}

/// An endpoint that always refuses is not asked for ever.
#[tokio::test]
async fn refusing_has_an_end() {
    let (address, seen) = server(100, |mut connection, _, seen| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            seen.requests.fetch_add(1, Ordering::Relaxed);
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    let answer = within("an answer", Client::http1().get(gateway.url("/h2/x")).send()).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert!(seen.requests() < 20, "{}", seen.requests());
}

/// GOAWAY after each answer: nothing is lost, each request gets a connection that takes it.
#[tokio::test]
async fn an_endpoint_that_goes_away_loses_nothing() {
    let (address, seen) = server(100, |mut connection, _, seen| async move {
        while let Some(Ok(arrived)) = connection.accept().await {
            seen.requests.fetch_add(1, Ordering::Relaxed);
            answer(arrived);
            connection.graceful_shutdown();
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    for number in 0..20 {
        let answer = Client::http1().post(gateway.url("/h2/x")).body("once").send().await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "served"), "{number}");
    }
    assert_eq!(seen.requests(), 20);
}

/// A stream that is reset in the middle of the body is no whole answer.
#[tokio::test]
async fn a_stream_that_breaks_off_never_ends_well() {
    let (address, _) = server(100, |mut connection, _, _| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data("half".into(), false).unwrap();
            body.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    for client in [Client::http1(), Client::http2()] {
        if let Ok(answer) = client.get(gateway.url("/h2/x")).try_send().await {
            assert_eq!(answer.status, 502, "{}", answer.text());
        }
    }
}

/// What an endpoint of another protocol says is no answer.
#[tokio::test]
async fn an_endpoint_without_http2_is_told_apart() {
    let raw = limen_tests::raw::RawOrigin::start(|_| {
        limen_tests::raw::Reply::Close(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await;
    let (_origin, gateway) = gateway(raw.url().trim_start_matches("http://").parse().unwrap()).await;
    let answer = Client::http1().get(gateway.url("/h2/x")).send().await;
    assert_eq!(answer.status, 502);
}
