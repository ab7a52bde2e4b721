//! An OTLP collector: takes spans over HTTP as protobuf, and keeps them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
pub use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use crate::eventually::eventually;

/// A running collector; it ends with the test's runtime.
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    spans: Mutex<Vec<Span>>,
    /// The heads of the exports.
    heads: Mutex<Vec<(String, HeaderMap)>>,
    services: Mutex<Vec<String>>,
    /// What it answers instead of 200.
    status: AtomicU16,
}

impl Collector {
    pub async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Taken>::default();
        let all = taken.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let taken = all.clone();
                let service = service_fn(move |request| take(request, taken.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Collector { address, taken }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on exports are refused with this status.
    pub fn refuse(&self, status: u16) {
        self.taken.status.store(status, Ordering::Relaxed);
    }

    pub fn spans(&self) -> Vec<Span> {
        self.taken.spans.lock().unwrap().clone()
    }

    /// Paths and headers of the exports, refused ones too.
    pub fn exports(&self) -> Vec<(String, HeaderMap)> {
        self.taken.heads.lock().unwrap().clone()
    }

    /// What the spans say that they are of.
    pub fn services(&self) -> Vec<String> {
        self.taken.services.lock().unwrap().clone()
    }

    /// Waits for so many spans of which this is so.
    pub async fn wait_for(&self, count: usize, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        eventually("spans", async || {
            let found: Vec<_> = self.spans().into_iter().filter(&wanted).collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

/// An attribute of a span as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?;
    Some(match value.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

async fn take(request: Request<Incoming>, taken: Arc<Taken>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    taken.heads.lock().unwrap().push((head.uri.path().to_owned(), head.headers));
    let mut answer = Response::new(Full::default());
    match taken.status.load(Ordering::Relaxed) {
        0 => {
            for all in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                let about = all.resource.into_iter().flat_map(|resource| resource.attributes);
                let name = about.filter(|attribute| attribute.key == "service.name");
                let name = name.filter_map(|attribute| match attribute.value?.value? {
                    Value::StringValue(name) => Some(name),
                    _ => None,
                });
                taken.services.lock().unwrap().extend(name);
                let spans = all.scope_spans.into_iter().flat_map(|scope| scope.spans);
                taken.spans.lock().unwrap().extend(spans);
            }
        }
        status => *answer.status_mut() = StatusCode::from_u16(status).unwrap(),
    }
    Ok(answer)
}
