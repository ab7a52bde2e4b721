//! Connections that go on in another protocol, calls of gRPC, and streams of events.

use crate::common::{config, guest_plugin, route};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use limen_tests::{Client, Gateway, Origin, eventually, wire, within};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// A WebSocket server that says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(socket).await else { return };
                while let Some(Ok(message)) = next(&mut socket).await {
                    if message.is_close() || send(&mut socket, message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

type Said = Result<Message, tokio_tungstenite::tungstenite::Error>;

async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Option<Said> {
    use futures_util::StreamExt;
    socket.next().await
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    message: Message,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    use futures_util::SinkExt;
    socket.send(message).await
}

/// Talks, and is answered: short and long.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    for text in ["hello".to_owned(), "x".repeat(100_000), "bye".to_owned()] {
        send(socket, Message::text(text.clone())).await.unwrap();
        let back = within("an echo", next(socket)).await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap(), text);
    }
}

/// A gateway before a WebSocket server, with policies that look at heads.
async fn before(server: SocketAddr, keys: &str) -> (Origin, Gateway) {
    before_protocol(server, "auto", keys).await
}

async fn before_protocol(server: SocketAddr, protocol: &str, keys: &str) -> (Origin, Gateway) {
    let origin = Origin::start();
    let rest = format!(
        "[log]\naccess = true\n{}\n[upstream.ws]\nendpoints = [\"http://{server}\"]\nprotocol = {protocol:?}\n\
         [[route]]\npath = \"/ws/**\"\nmethods = [\"GET\"]\npolicies = [\"logs\"]\nupstream = \"ws\"\n{keys}\n",
        guest_plugin("logs")
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    (origin, gateway)
}

/// A connection that goes on in another protocol still is one of those that may be open.
#[tokio::test]
async fn a_tunnel_counts_among_the_connections() {
    let (server, origin) = (echo().await, Origin::start());
    let rest = format!(
        "[upstream.ws]\nendpoints = [\"http://{server}\"]\nlimits = {{ connections = 1, queue_wait = \"100ms\" }}\n\
         [[route]]\nupstream = \"ws\"\n"
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let address = gateway.addr("plain");
    let open = async || {
        let socket = TcpStream::connect(&*address).await.unwrap();
        client_async(format!("ws://{address}/"), socket).await.map(|(socket, _)| socket)
    };
    let mut first = open().await.unwrap();
    talk(&mut first).await;
    match open().await {
        Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => assert_eq!(refused.status(), 503),
        other => panic!("{:?}", other.map(drop)),
    }
    talk(&mut first).await;
    drop(first);
    eventually("the connection to be free again", async || open().await.ok().map(drop)).await;
}

#[tokio::test]
async fn websockets_pass() {
    let (_origin, gateway) = before(echo().await, "").await;
    let address = gateway.addr("plain");
    let socket = TcpStream::connect(&*address).await.unwrap();
    let (mut socket, answer) = client_async(format!("ws://{address}/ws/talk"), socket).await.unwrap();
    assert_eq!(answer.status(), 101);
    talk(&mut socket).await;
    assert!(!gateway.log().iter().any(|line| line.contains("ended GET /ws/talk")), "it lives on");
    drop(socket);
    gateway.wait_for_log_containing("ended GET /ws/talk").await;
    gateway.wait_for_log(|line| line.contains("/ws/talk") && line.contains("101")).await;
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

/// A WebSocket by extended CONNECT, and what sends more requests beside it.
async fn over_http2(address: &str) -> (WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, Sender) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    // Until the gateway's settings are there, the client does not know that it may.
    let mut answer = eventually("extended CONNECT to be allowed", async || {
        let request = http::Request::connect(format!("http://{address}/ws/talk"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(Empty::<Bytes>::new())
            .unwrap();
        sender.clone().send_request(request).await.ok()
    })
    .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().get("sec-websocket-accept"), None);
    let upgraded = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    (socket, sender)
}

#[tokio::test]
async fn websockets_pass_over_http2() {
    let (_origin, gateway) = before(echo().await, "").await;
    let address = gateway.addr("plain");
    let (mut socket, sender) = over_http2(&address).await;
    talk(&mut socket).await;
    drop(socket);
    gateway.wait_for_log_containing("ended GET /ws/talk").await;

    // A protocol that the route does not name is not a request without it.
    let request = http::Request::connect(format!("http://{address}/ws/talk"))
        .extension(Protocol::from_static("other"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(sender.clone().send_request(request).await.unwrap().status(), 501);
}

/// What a server of HTTP/2 announces.
#[derive(Clone, Copy)]
enum Announced {
    ExtendedConnect,
    Nothing,
}

/// A WebSocket server that speaks HTTP/2 only, and says everything back.
async fn echo_over_http2(announced: Announced) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = hyper::service::service_fn(async |mut request: http::Request<hyper::body::Incoming>| {
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        assert_eq!((request.method().as_str(), request.uri().path()), ("CONNECT", "/ws/talk"));
        assert!(!request.headers().contains_key("sec-websocket-key"));
        tokio::spawn(async move {
            let upgraded = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
            while let Some(Ok(message)) = next(&mut socket).await {
                if message.is_close() || send(&mut socket, message).await.is_err() {
                    return;
                }
            }
        });
        Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<Bytes>::new()))
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if matches!(announced, Announced::ExtendedConnect) {
                server.enable_connect_protocol();
            }
            tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

#[tokio::test]
async fn websockets_pass_to_an_upstream_of_http2() {
    let (_origin, gateway) =
        before_protocol(echo_over_http2(Announced::ExtendedConnect).await, "http2", "").await;
    for _ in 0..2 {
        let address = gateway.addr("plain");
        let socket = TcpStream::connect(&*address).await.unwrap();
        let (mut socket, answer) = client_async(format!("ws://{address}/ws/talk"), socket).await.unwrap();
        assert_eq!(answer.status(), 101);
        talk(&mut socket).await;
    }
    talk(&mut over_http2(&gateway.addr("plain")).await.0).await;
    gateway.wait_for_log(|line| line.contains("/ws/talk") && line.contains("101")).await;
}

#[tokio::test]
async fn an_upstream_of_http2_that_knows_no_websockets_is_not_asked() {
    let (_origin, gateway) = before_protocol(echo_over_http2(Announced::Nothing).await, "http2", "").await;
    let address = gateway.addr("plain");
    let socket = TcpStream::connect(&*address).await.unwrap();
    let refused = client_async(format!("ws://{address}/ws/talk"), socket).await.unwrap_err();
    assert!(refused.to_string().contains("502"), "{refused}");
    gateway.wait_for_log_containing("has not announced extended CONNECT").await;
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let (_origin, gateway) = before(echo().await, "timeout = { tunnel = \"300ms\" }").await;
    let address = gateway.addr("plain");
    let socket = TcpStream::connect(&*address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/ws/x"), socket).await.unwrap();
    talk(&mut socket).await;
    let end = within("the gateway to close it", next(&mut socket)).await;
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
}

/// Any protocol that the route names; and each side ends by itself.
#[tokio::test]
async fn other_protocols_pass_where_they_are_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\nearly ",
            )
            .await
            .unwrap();
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        // The client has ended its side, and still reads.
        socket.write_all(rest.to_uppercase().as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let (_origin, gateway) = before(server, "upgrades = [\"lines\"]").await;
    let mut socket = TcpStream::connect(&*gateway.addr("plain")).await.unwrap();
    let head = "GET /ws/x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![];
    while !answer.ends_with(b"early ") {
        answer.push(within("the upgrade", socket.read_u8()).await.unwrap());
    }
    assert!(String::from_utf8(answer).unwrap().starts_with("HTTP/1.1 101 "));
    socket.write_all(b"what the client says").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = String::new();
    within("the end", socket.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "WHAT THE CLIENT SAYS");
    let head = served.await.unwrap().to_ascii_lowercase();
    assert!(
        head.contains("\r\nupgrade: lines\r\n") && head.contains("\r\nconnection: upgrade\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn what_is_not_allowed_is_not_asked_for() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    for protocol in ["h2c", "other", "websocket, other"] {
        let request = format!(
            "GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: {protocol}\r\n\r\n"
        );
        let answer = wire::exchange(gateway.addr("plain"), request).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(!answer.contains("\"upgrade\"") && !answer.contains("\"connection\""), "{answer}");
    }
}

/// What the gateway itself says to a gRPC client is in trailers.
#[tokio::test]
async fn grpc_clients_read_the_gateway_s_answers() {
    let origin = Origin::start();
    let rest = "[[route]]\npath = \"/slow\"\nupstream = \"origin\"\n\
                [[route]]\npath = \"/get\"\nmethods = [\"GET\"]\nupstream = \"origin\"\n";
    let gateway = Gateway::start(config(&origin, rest)).await;
    let call = |path: &str, timeout: &str| {
        let request =
            Client::http2().post(gateway.url(path)).header("content-type", "application/grpc+proto");
        request.header("te", "trailers").header("grpc-timeout", timeout).body("call").send()
    };
    for (path, timeout, status) in
        [("/no.Such/Method", "5S", "12"), ("/slow?ms=60000", "300m", "4"), ("/get", "5S", "12")]
    {
        let answer = call(path, timeout).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("grpc-status"), Some(status), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert!(answer.header("grpc-message").is_some_and(|message| message.ends_with('.')));
        assert!(answer.body.is_empty());
    }
    // To others it says it as ever.
    assert_eq!(Client::http2().post(gateway.url("/no.Such/Method")).send().await.status, 404);
}

#[tokio::test]
async fn trailers_pass_without_what_belongs_into_the_head() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, content-length, host\r\n\r\n\
                  2\r\nhi\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\nhost: evil\r\n\r\n";
    let (address, _heads) = wire::server(answer).await;
    let (_origin, gateway) = before(address, "").await;
    let request = "GET /ws/x HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), request).await.to_ascii_lowercase();
    assert!(answer.ends_with("\r\n0\r\nx-sum: 1\r\n\r\n"), "{answer}");
    assert!(answer.contains("\r\ntrailer: "), "{answer}");

    let socket = TcpStream::connect(&*gateway.addr("plain")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a/ws/x").body(Empty::<Bytes>::new()).unwrap();
    let whole = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let trailers = whole.trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &http::HeaderValue::from_static("1")));
}

/// Each event is there before the next one is sent.
#[tokio::test]
async fn events_are_passed_on_one_by_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let (go, mut gone) = tokio::sync::mpsc::unbounded_channel::<()>();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            // What is not read at the end would make a reset of it.
            let mut asked = vec![];
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(socket.read_u8().await.unwrap());
            }
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = socket.write_all(head).await;
            for event in 0..3 {
                let event = format!("data: {event}\n\n");
                let _ = socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await;
                gone.recv().await;
            }
            let _ = socket.write_all(b"0\r\n\r\n").await;
        }
    });
    let (_origin, gateway) = before(server, "").await;
    for client in [Client::http1(), Client::http2()] {
        let mut stream = client.get(gateway.url("/ws/events")).open().await;
        for event in 0..3 {
            let piece = within("an event", stream.piece()).await.unwrap().unwrap();
            assert_eq!(piece, format!("data: {event}\n\n"));
            go.send(()).unwrap();
        }
        // HTTP/2 may end it with an empty frame.
        assert!(stream.piece().await.unwrap().is_none_or(|piece| piece.is_empty()));
    }
}
