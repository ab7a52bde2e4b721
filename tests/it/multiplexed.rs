//! HTTP/2 endpoints that set limits, refuse and go away.

use crate::common::config_of_one_worker;
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use limen_tests::{Client, Gateway, Origin, eventually, wire, within};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

type Arrived = (http::Request<h2::RecvStream>, SendResponse<Bytes>);

/// Counts what comes, and answers what it is let.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    pings: AtomicUsize,
}

impl Seen {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn pings(&self) -> usize {
        self.pings.load(Ordering::Relaxed)
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

/// The writing side of a connection whose frames the test makes itself.
struct RawSide(tokio::net::tcp::OwnedWriteHalf);

impl RawSide {
    fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.try_write(bytes).map(drop)
    }

    /// 200, and nothing else.
    fn answer(&self, stream: u32) -> std::io::Result<()> {
        let flags = wire::END_HEADERS | wire::END_STREAM;
        self.send(&wire::frame(wire::HEADERS, flags, stream, &[0x88]))
    }
}

/// A server that does with each request, by its stream, what the test says, and answers no PING.
async fn raw_server(
    act: impl Fn(&RawSide, u32) -> std::io::Result<()> + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let here = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            here.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve_raw(socket, act.clone(), here.clone()));
        }
    });
    (address, seen)
}

async fn serve_raw(
    socket: TcpStream,
    act: impl Fn(&RawSide, u32) -> std::io::Result<()>,
    seen: Arc<Seen>,
) -> std::io::Result<()> {
    let (mut read, write) = socket.into_split();
    let side = RawSide(write);
    side.send(&wire::frame(wire::SETTINGS, 0, 0, &[]))?;
    side.send(&wire::frame(wire::SETTINGS, wire::ACK, 0, &[]))?;
    read.read_exact(&mut [0; 24]).await?;
    loop {
        let mut header = [0; 9];
        read.read_exact(&mut header).await?;
        let [a, b, c, kind, _, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        read.read_exact(&mut payload).await?;
        match kind {
            wire::HEADERS => act(&side, u32::from_be_bytes(stream))?,
            wire::PING => drop(seen.pings.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
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

/// GOAWAY with a last stream below that of the request: nobody looks at that one, whatever it is.
#[tokio::test]
async fn what_comes_after_the_last_stream_goes_elsewhere() {
    let (address, seen) = raw_server(|socket, stream| match stream {
        1 => socket.answer(stream),
        _ => socket.send(&wire::frame(wire::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])),
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    for number in 0..10 {
        let asked = Client::http1().post(gateway.url("/h2/x")).send();
        assert_eq!(within("an answer", asked).await.status, 200, "{number}");
    }
    assert!(seen.connections() > 5, "{}", seen.connections());
}

/// A connection that is closed under requests without a word: those are sent again that may be.
#[tokio::test]
async fn a_connection_that_ends_under_requests_loses_only_what_it_must() {
    let (address, seen) = server(100, |mut connection, _, seen| async move {
        for number in 0.. {
            let Some(Ok(arrived)) = connection.accept().await else { return };
            seen.requests.fetch_add(1, Ordering::Relaxed);
            if number > 0 {
                return;
            }
            answer(arrived);
        }
    })
    .await;
    let (_origin, gateway) = gateway(address).await;
    let ask = async |method| {
        let asked = Client::http1().request(method, gateway.url("/h2/x")).send();
        within("an answer", asked).await.status.as_u16()
    };
    assert_eq!(ask(http::Method::GET).await, 200);
    for _ in 0..5 {
        assert_eq!(ask(http::Method::DELETE).await, 200);
    }
    assert_eq!((seen.requests(), seen.connections()), (11, 6));
    assert_eq!(ask(http::Method::POST).await, 502);
    assert_eq!(seen.requests(), 12);
}

/// An endpoint that does not even answer a PING is not there any more.
#[tokio::test]
async fn a_silent_connection_is_asked_and_closed() {
    let (address, seen) = raw_server(|_, _| Ok(())).await;
    let origin = Origin::start();
    let rest = format!(
        "[upstream.h2]\nendpoints = [\"http://{address}\"]\nprotocol = \"http2\"\n\
         http2 = {{ ping = \"1s\", ping_timeout = \"1s\" }}\n\
         [[route]]\npath = \"/h2/**\"\nupstream = \"h2\"\n"
    );
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let answer = within("an answer", Client::http1().get(gateway.url("/h2/x")).send()).await;
    assert!([502, 504].contains(&answer.status.as_u16()), "{}", answer.status);
    assert_eq!(seen.connections(), 1);
    assert!(seen.pings() > 0);
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
