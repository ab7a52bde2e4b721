//! One request to an admin listener.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::StartError;

/// The status of ten thousand upstreams is a tenth of this.
const LARGEST: usize = 64 << 20;

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
        let address = self.address;
        let failed =
            |what: String| StartError::Machine(format!("no answer from the gateway at {address}: {what}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let asked =
            runtime.block_on(async { tokio::time::timeout(limit, self.ask(method, path, body)).await });
        match asked {
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
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map(|body| Bytes::from(body.to_string()));
        let request = request.body(Full::new(body.unwrap_or_default()))?;
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let asking = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await?.to_bytes();
            Ok(Reply { status, body })
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            reply = asking.as_mut() => reply,
            // It may have ended with the answer.
            _ = connection => asking.await,
        }
    }
}

impl Reply {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}
