//! `fetch`: calls to upstreams that the plugin is granted, sent by whoever the gateway hands in.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use limen_policy::{Call, Fetched, FetchedBody, Later, add_call_header, call_head};
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::limen::policy::fetch::{self, FetchError};
use super::bindings::limen::policy::types;
use super::{all_values, edited, first_text, pack};
use crate::fetches::{Fetches, Outcome, Right};
use crate::state::State;

/// Calls and answers that one isolate may hold at the same time.
const MAX_HANDLES: usize = 4096;
/// What one isolate may keep in its calls beside bodies, in bytes.
const HEADS: u64 = 64 << 10;

/// The calls and answers of one isolate; made when it first makes one.
pub(crate) struct Calls {
    table: ResourceTable,
    /// Bytes that are kept in calls.
    held: u64,
}

/// A call that is being put together.
pub struct Outgoing {
    upstream: String,
    /// None: it was no method or no path.
    head: Option<Request<()>>,
    body: Bytes,
    timeout: Option<Duration>,
    held: u64,
}

/// An answer.
pub struct Incoming {
    head: Response<()>,
    /// None once it has ended.
    rest: Option<Rest>,
    /// How much more of the body may come, in bytes.
    left: u64,
}

/// What has not been read of an answer.
struct Rest {
    /// Of the last piece.
    ahead: Bytes,
    body: Box<dyn FetchedBody>,
    _right: Right,
}

/// A call that was sent.
struct UnderWay {
    answer: Later<'static, Result<Fetched, limen_policy::FetchError>>,
    right: Right,
}

impl Calls {
    fn new() -> Box<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Box::new(Calls { table, held: 0 })
    }

    /// Whether the guest holds a call or an answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Incoming {
    /// The next piece, at most so long; none at the end.
    async fn piece(&mut self, max: usize) -> Result<Option<Bytes>, FetchError> {
        let Some(rest) = &mut self.rest else { return Ok(None) };
        while rest.ahead.is_empty() {
            rest.ahead = match rest.body.piece().await {
                Some(Ok(piece)) => piece,
                end => {
                    self.rest = None;
                    return match end {
                        Some(Err(error)) => Err(error.into()),
                        _ => Ok(None),
                    };
                }
            };
            match self.left.checked_sub(rest.ahead.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    self.rest = None;
                    return Err(FetchError::TooLarge);
                }
            }
        }
        Ok(Some(rest.ahead.split_to(max.min(rest.ahead.len()))))
    }

    async fn rest(&mut self) -> Result<Vec<u8>, FetchError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece(usize::MAX).await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

impl State {
    fn calls(&mut self) -> &mut Calls {
        self.calls.get_or_insert_with(Calls::new)
    }

    /// Makes room for so many bytes in a call.
    fn hold(&mut self, call: &Resource<Outgoing>, bytes: usize) -> wasmtime::Result<bool> {
        let most = self.limits.body.saturating_add(HEADS);
        let calls = self.calls();
        let held = calls.held.saturating_add(bytes as u64);
        if held > most {
            return Ok(false);
        }
        calls.table.get_mut(call)?.held += bytes as u64;
        calls.held = held;
        Ok(true)
    }

    /// Sends a call, if it may be sent.
    fn begin(&mut self, call: &Resource<Outgoing>) -> wasmtime::Result<Result<UnderWay, FetchError>> {
        let (grounds, most) = (self.grounds.clone(), self.limits.fetches);
        let Some(calls) = &self.calls else { return Ok(Err(FetchError::Invalid)) };
        let call = calls.table.get(call)?;
        let Some(granted) = grounds.fetches.granted(&call.upstream) else {
            return Ok(Err(FetchError::Denied));
        };
        let Some(head) = call.head.clone() else { return Ok(Err(FetchError::Invalid)) };
        let Some(fetch) = &self.exchange.route.fetch else { return Ok(Err(FetchError::Denied)) };
        let Some(right) = Fetches::begin(&granted, most) else { return Ok(Err(FetchError::TooMany)) };
        let call = Call::new(&self.exchange, &call.upstream, head, call.body.clone(), call.timeout);
        Ok(Ok(UnderWay { answer: fetch.fetch(call), right }))
    }

    /// Waits for the answer to a call.
    async fn answer(
        &mut self,
        call: Result<UnderWay, FetchError>,
    ) -> wasmtime::Result<Result<Resource<Incoming>, FetchError>> {
        let UnderWay { answer, mut right } = match call {
            Ok(under_way) => under_way,
            Err(error) => return Ok(Err(error)),
        };
        let answered = answer.await;
        right.ended(Outcome::of(answered.as_ref().err().copied()));
        let Fetched { head, body } = match answered {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error.into())),
        };
        let rest = Some(Rest { ahead: Bytes::new(), body, _right: right });
        let incoming = Incoming { head, rest, left: self.limits.body };
        Ok(Ok(self.calls().table.push(incoming)?))
    }

    fn head(&mut self, answer: &Resource<Incoming>) -> wasmtime::Result<&Response<()>> {
        Ok(&self.calls().table.get(answer)?.head)
    }
}

impl fetch::HostOutgoing for State {
    fn new(
        &mut self,
        upstream: String,
        method: String,
        path: String,
    ) -> wasmtime::Result<Resource<Outgoing>> {
        let bytes = upstream.len() + method.len() + path.len();
        let head = call_head(&method, &path);
        let outgoing = Outgoing { upstream, head, body: Bytes::new(), timeout: None, held: 0 };
        let outgoing = self.calls().table.push(outgoing)?;
        if !self.hold(&outgoing, bytes)? {
            let call = self.calls().table.get_mut(&outgoing)?;
            (call.upstream, call.head) = (String::new(), None);
        }
        Ok(outgoing)
    }

    fn header(
        &mut self,
        call: Resource<Outgoing>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<(), types::EditError>> {
        if !self.hold(&call, name.len() + value.len())? {
            return Ok(Err(types::EditError::TooLarge));
        }
        let head = &mut self.calls().table.get_mut(&call)?.head;
        Ok(head.as_mut().map_or(Ok(()), |head| edited(add_call_header(head, &name, &value))))
    }

    fn body(
        &mut self,
        call: Resource<Outgoing>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<(), types::EditError>> {
        if !self.hold(&call, data.len())? {
            return Ok(Err(types::EditError::TooLarge));
        }
        self.calls().table.get_mut(&call)?.body = data.into();
        Ok(Ok(()))
    }

    fn timeout_ms(&mut self, call: Resource<Outgoing>, value: u32) -> wasmtime::Result<()> {
        self.calls().table.get_mut(&call)?.timeout = Some(Duration::from_millis(value.into()));
        Ok(())
    }

    async fn send(
        &mut self,
        call: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<Incoming>, FetchError>> {
        let sent = self.begin(&call)?;
        self.answer(sent).await
    }

    fn drop(&mut self, call: Resource<Outgoing>) -> wasmtime::Result<()> {
        let calls = self.calls();
        let call = calls.table.delete(call)?;
        calls.held = calls.held.saturating_sub(call.held);
        Ok(())
    }
}

impl fetch::HostIncoming for State {
    fn status(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<u16> {
        Ok(self.head(&answer)?.status().as_u16())
    }

    fn header(&mut self, answer: Resource<Incoming>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(first_text(self.head(&answer)?.headers(), &name))
    }

    fn header_values(&mut self, answer: Resource<Incoming>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(all_values(self.head(&answer)?.headers(), &name))
    }

    fn packed(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<Vec<u8>> {
        let head = self.head(&answer)?;
        Ok(pack(&[(":status", head.status().as_str().as_bytes())], head.headers()))
    }

    async fn read(
        &mut self,
        answer: Resource<Incoming>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, FetchError>> {
        let incoming = self.calls().table.get_mut(&answer)?;
        let piece = incoming.piece((max as usize).max(1)).await;
        Ok(piece.map(|piece| piece.unwrap_or_default().into()))
    }

    async fn body(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<Result<Vec<u8>, FetchError>> {
        let incoming = self.calls().table.get_mut(&answer)?;
        Ok(incoming.rest().await)
    }

    fn drop(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<()> {
        self.calls().table.delete(answer)?;
        Ok(())
    }
}

impl fetch::Host for State {
    async fn send_all(
        &mut self,
        calls: Vec<Resource<Outgoing>>,
    ) -> wasmtime::Result<Vec<Result<Resource<Incoming>, FetchError>>> {
        let sent = calls.iter().map(|call| self.begin(call)).collect::<wasmtime::Result<Vec<_>>>()?;
        let mut answers = Vec::with_capacity(sent.len());
        // All are under way: whichever is waited for, the others go on.
        for call in sent {
            answers.push(self.answer(call).await?);
        }
        Ok(answers)
    }
}

impl From<limen_policy::FetchError> for FetchError {
    fn from(error: limen_policy::FetchError) -> Self {
        match error {
            limen_policy::FetchError::Unreachable => FetchError::Unreachable,
            limen_policy::FetchError::Overloaded => FetchError::Overloaded,
            limen_policy::FetchError::TimedOut => FetchError::TimedOut,
            limen_policy::FetchError::Broken => FetchError::Broken,
        }
    }
}
