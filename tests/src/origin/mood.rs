//! How an origin feels: what it answers to health checks, and whether it fails everything else.

use crate::body::{self, Body};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// Where HTTP checks ask; gRPC's is `grpc.health.v1.Health/Check`.
const HTTP: &str = "/healthz";
const GRPC: &str = "/grpc.health.v1.Health/Check";

pub(super) struct Mood {
    /// What checks are answered.
    health: AtomicU16,
    /// What everything else is answered; 0: what it asked for.
    status: AtomicU16,
    checks: AtomicU64,
}

impl Default for Mood {
    fn default() -> Self {
        Mood { health: AtomicU16::new(200), status: AtomicU16::new(0), checks: AtomicU64::new(0) }
    }
}

impl Mood {
    pub(super) fn set_health(&self, status: u16) {
        self.health.store(status, Ordering::Relaxed);
    }

    pub(super) fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(super) fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// The answer to a check; none if it is none.
    pub(super) fn check(&self, path: &str) -> Option<Response<Body>> {
        let status = StatusCode::from_u16(self.health.load(Ordering::Relaxed)).unwrap();
        let response = match path {
            HTTP => {
                let mut response = Response::new(body::full(format!("I feel like {status}\n")));
                *response.status_mut() = status;
                response
            }
            GRPC => grpc(if status.is_success() { 1 } else { 2 }),
            _ => return None,
        };
        self.checks.fetch_add(1, Ordering::Relaxed);
        Some(response)
    }

    /// The answer to anything; none if it is to be what was asked for.
    pub(super) fn failure(&self) -> Option<Response<Body>> {
        let status = StatusCode::from_u16(self.status.load(Ordering::Relaxed)).ok()?;
        let mut response = Response::new(body::full("not today\n"));
        *response.status_mut() = status;
        Some(response)
    }
}

/// `HealthCheckResponse { status }`, with its trailers.
fn grpc(status: u8) -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(vec![0, 0, 0, 0, 2, 8, status].into()), Frame::trailers(trailers)];
    let frames = Frames(frames.into_iter().collect());
    let mut response = Response::new(frames.boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

struct Frames(std::collections::VecDeque<Frame<bytes::Bytes>>);

impl http_body::Body for Frames {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::io::Result<Frame<bytes::Bytes>>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}
