//! Copies of requests for a second upstream, without any effect on what they are copies of.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::header::{self, HeaderValue};
use http::{Method, Request};
use limen_policy::Client;

use crate::body::RequestBody;
use crate::upstream::{Answer, Outgoing};
use crate::worker::World;

/// How much of an answer is read, so that its connection can be used again.
const DISCARDED: u64 = 1 << 20;

pub struct Mirror {
    upstream: usize,
    millionths: u32,
    buffer: u64,
    in_flight: usize,
    host: Option<HeaderValue>,
    state: Arc<MirrorState>,
}

/// What all workers know of a route's copies; a route of the same name finds it again after a reload.
#[derive(Default)]
pub struct MirrorState {
    in_flight: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

/// How many copies went which way, since the gateway was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    /// Under way right now.
    pub in_flight: usize,
    /// The second upstream has answered, whatever it was.
    pub answered: u64,
    /// Cut off, or the second upstream was unreachable, slow or broken.
    pub failed: u64,
    /// Not sent: there were too many under way.
    pub skipped: u64,
}

/// One copy.
pub struct MirrorCopy {
    request: Box<Request<RequestBody>>,
    upstream: usize,
    under_way: UnderWay,
}

/// The right to be under way.
struct UnderWay(Arc<MirrorState>);

impl Mirror {
    /// `upstreams` are the numbers of all upstreams, by name.
    pub fn new(
        mirror: &limen_config::Mirror,
        upstreams: &BTreeMap<&str, usize>,
        state: Option<Arc<MirrorState>>,
    ) -> Self {
        let limen_config::Mirror { to, millionths, buffer, in_flight, host } = mirror;
        Mirror {
            upstream: upstreams.get(to.as_str()).copied().unwrap_or(usize::MAX),
            millionths: *millionths,
            buffer: *buffer,
            in_flight: *in_flight,
            host: host.clone(),
            state: state.unwrap_or_default(),
        }
    }

    pub fn state(&self) -> &Arc<MirrorState> {
        &self.state
    }

    /// A copy of a request that is about to be sent, if chance wants one. The body of the copy is fed
    /// as the request's own is read.
    pub fn copy(&self, request: &mut Request<RequestBody>) -> Option<MirrorCopy> {
        let switches = request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT;
        if switches || fastrand::u32(..1_000_000) >= self.millionths {
            return None;
        }
        let under_way = UnderWay::begin(&self.state, self.in_flight)?;
        let mut copy = Request::new(request.body_mut().copy(self.buffer));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        // The first upstream is the one that says whether the body is to come.
        copy.headers_mut().remove(header::EXPECT);
        if let Some(host) = &self.host {
            copy.headers_mut().insert(header::HOST, host.clone());
        }
        Some(MirrorCopy { request: Box::new(copy), upstream: self.upstream, under_way })
    }
}

impl MirrorState {
    pub fn counts(&self) -> MirrorCounts {
        MirrorCounts {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}

impl MirrorCopy {
    /// Sends it on its way. Nobody hears of it any more.
    pub fn send(self, world: Rc<World>, client: Client) {
        tokio::task::spawn_local(async move {
            let MirrorCopy { request, upstream, under_way } = self;
            let state = &under_way.0;
            let Some(upstream) = world.upstream(upstream) else { return };
            // No other upstream stands in for this one: that might be the one it is a copy for.
            match upstream
                .send(Outgoing { request, client: &client, attempts: None, tries: None, others: &[] })
                .await
            {
                Ok(answer) => {
                    state.answered.fetch_add(1, Ordering::Relaxed);
                    discard(answer).await;
                }
                Err(fault) => {
                    state.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("a mirrored request failed: {}", fault.reason);
                }
            }
        });
    }
}

/// Reads a short answer to its end.
async fn discard(answer: Answer) {
    let Answer { mut body, .. } = answer;
    let mut length = 0;
    while length < DISCARDED {
        match poll_fn(|context| body.poll_frame(context)).await {
            Some(Ok(frame)) => length += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => return,
        }
    }
}

impl UnderWay {
    fn begin(state: &Arc<MirrorState>, limit: usize) -> Option<Self> {
        if state.in_flight.fetch_add(1, Ordering::Relaxed) < limit {
            return Some(UnderWay(state.clone()));
        }
        state.in_flight.fetch_sub(1, Ordering::Relaxed);
        state.skipped.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_limit_are_under_way() {
        let state = Arc::default();
        let first = UnderWay::begin(&state, 2);
        let second = UnderWay::begin(&state, 2);
        assert!(first.is_some() && second.is_some() && UnderWay::begin(&state, 2).is_none());
        drop(first);
        assert!(UnderWay::begin(&state, 2).is_some());
        drop(second);
        assert_eq!(state.counts(), MirrorCounts { skipped: 1, ..MirrorCounts::default() });
    }
}
