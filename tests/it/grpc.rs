//! gRPC end to end: a server and a client of tonic's, the gateway between them.

use crate::common::{body_plugin, config, config_of_one_worker, guest_plugin};
use limen_tests::{Gateway, Origin, within};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Context, Pin, Poll, Service};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

type Codec = ProstCodec<Number, Number>;
type Answers = Response<ReceiverStream<Result<Number, Status>>>;
type Promise<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Doubles each number as it comes; at 13 it fails. Tells when a client has left.
#[derive(Clone)]
struct Doubler {
    left: Arc<Notify>,
}

impl tonic::server::NamedService for Doubler {
    const NAME: &'static str = "test.Doubler";
}

impl Service<http::Request<tonic::body::Body>> for Doubler {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Promise<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let doubler = self.clone();
        Box::pin(async move {
            let te = request.headers().get("te").cloned();
            assert_eq!(te.as_ref().map(|te| te.as_bytes()), Some(&b"trailers"[..]));
            Ok(tonic::server::Grpc::new(Codec::default()).streaming(doubler, request).await)
        })
    }
}

impl Service<Request<Streaming<Number>>> for Doubler {
    type Response = Answers;
    type Error = Status;
    type Future = Promise<Result<Answers, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Number>>) -> Self::Future {
        let left = self.left.clone();
        Box::pin(async move {
            let mut numbers = request.into_inner();
            let (answers, stream) = mpsc::channel(1);
            tokio::spawn(async move {
                loop {
                    let answer = match numbers.message().await {
                        Ok(Some(Number { value: 13 })) => Err(Status::out_of_range("thirteen: \u{fc}nlucky")),
                        Ok(Some(Number { value })) => Ok(Number { value: value * 2 }),
                        Ok(None) => return,
                        Err(_) => return left.notify_one(),
                    };
                    if answers.send(answer).await.is_err() {
                        return left.notify_one();
                    }
                }
            });
            Ok(Response::new(ReceiverStream::new(stream)))
        })
    }
}

/// A server on a port of its own; it ends with the test's runtime.
async fn serve() -> (SocketAddr, Arc<Notify>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let left = Arc::<Notify>::default();
    let server = tonic::transport::Server::builder().add_service(Doubler { left: left.clone() });
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, left)
}

fn route_to(address: SocketAddr) -> String {
    format!(
        "[upstream.grpc]\nendpoints = [\"http://{address}\"]\nprotocol = \"http2\"\n\
         [[route]]\npath = \"/test.Doubler/**\"\nupstream = \"grpc\"\n"
    )
}

async fn client(gateway: &Gateway) -> Grpc<Channel> {
    Grpc::new(Endpoint::from_shared(gateway.url("")).unwrap().connect().await.unwrap())
}

async fn double(client: &mut Grpc<Channel>, value: i64) -> Result<i64, Status> {
    client.ready().await.unwrap();
    let doubled = client.unary(Request::new(Number { value }), path(), Codec::default()).await?;
    Ok(doubled.into_inner().value)
}

/// The answers to numbers that are still to come.
async fn double_all(client: &mut Grpc<Channel>, numbers: mpsc::Receiver<Number>) -> Streaming<Number> {
    client.ready().await.unwrap();
    let request = Request::new(ReceiverStream::new(numbers));
    let answers = client.streaming(request, path(), Codec::default());
    within("the head of the answer", answers).await.unwrap().into_inner()
}

fn path() -> http::uri::PathAndQuery {
    "/test.Doubler/Double".parse().unwrap()
}

#[tokio::test]
async fn calls_and_their_status_go_through() {
    let (server, _) = serve().await;
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route_to(server))).await;
    let mut client = client(&gateway).await;
    for value in [1, 2, 21] {
        assert_eq!(double(&mut client, value).await.unwrap(), value * 2);
    }
    let status = double(&mut client, 13).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "thirteen: \u{fc}nlucky"));
}

/// Neither direction waits for the other to end.
#[tokio::test]
async fn both_sides_stream() {
    let (server, _) = serve().await;
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route_to(server))).await;
    let mut client = client(&gateway).await;
    let (numbers, stream) = mpsc::channel(1);
    let mut answers = double_all(&mut client, stream).await;
    for value in 0..100 {
        numbers.send(Number { value: value + 100 }).await.unwrap();
        let doubled = within("an answer to each number", answers.message()).await.unwrap();
        assert_eq!(doubled, Some(Number { value: (value + 100) * 2 }));
    }
    drop(numbers);
    assert_eq!(within("the end", answers.message()).await.unwrap(), None);
    assert!(answers.trailers().await.unwrap().is_some());
}

#[tokio::test]
async fn a_status_ends_a_stream_in_the_middle() {
    let (server, _) = serve().await;
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route_to(server))).await;
    let mut client = client(&gateway).await;
    let (numbers, stream) = mpsc::channel(4);
    for value in [1, 13] {
        numbers.send(Number { value }).await.unwrap();
    }
    let mut answers = double_all(&mut client, stream).await;
    assert_eq!(answers.message().await.unwrap(), Some(Number { value: 2 }));
    let status = within("the status", answers.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

/// A policy maps the status that comes in trailers; another one streams both sides, and holds up neither.
#[tokio::test]
async fn policies_see_the_trailers_of_a_call() {
    let (server, _) = serve().await;
    let origin = Origin::start();
    let passing = "{ use = \"streams\", with = { request = \"pass\", response = \"pass\" } }";
    let rest = format!(
        "{}\n{}\n{}policies = [\"trailers\", {passing}]\n",
        guest_plugin("trailers"),
        body_plugin("streams"),
        route_to(server)
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut client = client(&gateway).await;
    assert_eq!(double(&mut client, 4).await.unwrap(), 8);
    let (numbers, stream) = mpsc::channel(1);
    let mut answers = double_all(&mut client, stream).await;
    for value in 0..20 {
        numbers.send(Number { value: value + 100 }).await.unwrap();
        let doubled = within("an answer to each number", answers.message()).await.unwrap();
        assert_eq!(doubled, Some(Number { value: (value + 100) * 2 }));
    }
    numbers.send(Number { value: 13 }).await.unwrap();
    let status = within("the status", answers.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, ""));
    assert_eq!(status.metadata().get("x-status").unwrap(), "11");
}

/// The status is in the trailers, behind a body that a policy waits for.
#[tokio::test]
async fn a_policy_that_buffers_leaves_the_status_to_a_call() {
    let (server, _) = serve().await;
    let origin = Origin::start();
    let buffering = "{ use = \"bodies\", with = { request = \"keep\", response = \"keep\" } }";
    let rest = format!("{}\n{}policies = [{buffering}]\n", body_plugin("bodies"), route_to(server));
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut client = client(&gateway).await;
    assert_eq!(double(&mut client, 4).await.unwrap(), 8);
}

/// A client that gives up is no longer worked for.
#[tokio::test]
async fn a_cancelled_call_reaches_the_server() {
    let (server, left) = serve().await;
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(&origin, &route_to(server))).await;
    let mut first = client(&gateway).await;
    let (numbers, stream) = mpsc::channel(1);
    let mut answers = double_all(&mut first, stream).await;
    numbers.send(Number { value: 1 }).await.unwrap();
    assert_eq!(answers.message().await.unwrap(), Some(Number { value: 2 }));
    drop((answers, numbers, first));
    within("the server to hear of it", left.notified()).await;
    // The connection that it shared serves on.
    let mut next = client(&gateway).await;
    assert_eq!(double(&mut next, 4).await.unwrap(), 8);
}
