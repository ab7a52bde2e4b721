//! One request to an admin listener.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::StartError;

/// The status of ten thousand upstreams is a tenth of this.
const LARGEST: usize = 64 << 20;
/// JSON objects, one in each line.
const LINES: &str = "application/x-ndjson";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where to ask, and what to bring.
pub struct Asking {
    pub address: SocketAddr,
    pub token: Option<String>,
}

pub struct Reply {
    pub status: StatusCode,
    body: Bytes,
}

impl Asking {
    /// Asks, and waits for no longer than this.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Reply, StartError> {
        let request = self.request(method, path).body(body.map(Value::to_string).unwrap_or_default().into());
        self.wait(limit, self.ask(request, Reply::whole))
    }

    /// Asks for something that takes its time, and hands on what the gateway tells of it meanwhile, step by step. One that
    /// has nothing to tell, because it is older, answers as to [`Asking::send`].
    pub fn follow(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
        step: impl FnMut(&Value),
    ) -> Result<Reply, StartError> {
        let accept = format!("{LINES}, application/json;q=0.9");
        let request = self.request(method, path).header(header::ACCEPT, accept).body(Full::default());
        self.wait(limit, self.ask(request, async |answer| Reply::last(answer, step).await))
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::HOST, self.address.to_string());
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    fn wait(
        &self,
        limit: Duration,
        asking: impl Future<Output = Result<Reply, Failure>>,
    ) -> Result<Reply, StartError> {
        let address = self.address;
        let failed =
            |what: String| StartError::Machine(format!("no answer from the gateway at {address}: {what}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        match runtime.block_on(async { tokio::time::timeout(limit, asking).await }) {
            Ok(reply) => reply.map_err(|error| {
                let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
                match refused == Some(io::ErrorKind::ConnectionRefused) {
                    true => failed(
                        "nobody listens there; does `limen run` run, with this configuration?".to_owned(),
                    ),
                    false => failed(error.to_string()),
                }
            }),
            Err(_) => Err(failed(format!("nothing within {limit:?}"))),
        }
    }

    async fn ask(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let asking = async { read(sender.send_request(request?).await?).await };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            reply = asking.as_mut() => reply,
            // It may have ended with the answer.
            _ = connection => asking.await,
        }
    }
}

impl Reply {
    async fn whole(answer: Response<Incoming>) -> Result<Reply, Failure> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await?.to_bytes();
        Ok(Reply { status, body })
    }

    /// The last of the lines is what others are answered.
    async fn last(answer: Response<Incoming>, mut step: impl FnMut(&Value)) -> Result<Reply, Failure> {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != LINES) {
            return Reply::whole(answer).await;
        }
        let (mut body, mut text) = (Limited::new(answer.into_body(), LARGEST), Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            text.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let told: Value = serde_json::from_slice(&line)?;
                match Reply::done(&told) {
                    Some(reply) => return Ok(reply),
                    None => step(&told),
                }
            }
        }
        Err("it ended, or broke off, before it said what became of it; `limen status` asks anew".into())
    }

    /// What a line says that is the last one.
    fn done(told: &Value) -> Option<Reply> {
        let status = told.get("status").filter(|_| told.get("step").is_some_and(|step| step == "done"))?;
        let status = StatusCode::from_u16(status.as_u64()?.try_into().ok()?).ok()?;
        Some(Reply { status, body: told.get("answer")?.to_string().into() })
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}
