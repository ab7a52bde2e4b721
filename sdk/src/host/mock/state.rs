//! What the mock gateway knows: of its process, and of one exchange.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::cache::Cache;
use super::head::{Head, RequestHead, ResponseHead};
use super::metrics::Counted;
use super::rate::Counters;
use super::secrets::Secret;
use super::{Calls, Stores};
use crate::jwt::JwtError;
use crate::metrics::Metric;
use crate::testing::{ClientCertificate, Consumer, Line};
use crate::{EditError, HttpVersion, Level};

/// Edits of one hook (`edit-error.too-large`).
const EDITS: usize = 256;

/// Tokens, and what becomes of each.
type Tokens = BTreeMap<String, Result<serde_json::Value, JwtError>>;

/// What outlives an exchange, and what is the same for all.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) counters: Counters,
    pub(crate) cache: Cache,
    /// What random numbers go on from.
    pub(crate) random: u64,
    /// Those that the policy declares, and what it has counted.
    pub(crate) metrics: &'static [Metric],
    pub(crate) counted: Vec<Counted>,
    /// By their names.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Key sets by their names; what each makes of which token.
    pub(crate) tokens: BTreeMap<String, Tokens>,
    pub(crate) calls: Calls,
    pub(crate) stores: Stores,
    pub(crate) settings: serde_json::Value,
    pub(crate) log_level: Level,
    pub(crate) body_limit: usize,
    pub(crate) client_ip: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) tls_version: Option<String>,
    pub(crate) sni: Option<String>,
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) route: String,
    pub(crate) upstream: Option<String>,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) moment: Moment,
    pub(crate) request_id: String,
    pub(crate) version: HttpVersion,
    pub(crate) path_params: BTreeMap<String, String>,
    pub(crate) request: RequestHead,
    pub(crate) request_body: Vec<u8>,
    pub(crate) response: ResponseHead,
    pub(crate) response_body: Vec<u8>,
    pub(crate) response_is_local: bool,
    /// Values, and whether the policy under test owns the key.
    pub(crate) bag: BTreeMap<String, (Vec<u8>, bool)>,
    pub(crate) consumer: Option<Consumer>,
    /// On the clock of the counters.
    pub(crate) received_ms: u64,
    /// None: no upstream has answered.
    pub(crate) upstream_us: Option<u64>,
    /// None: over a connection that was there.
    pub(crate) connect_us: Option<u64>,
    pub(crate) reply: Option<(ResponseHead, Vec<u8>)>,
    /// Something of the response is on its way.
    pub(crate) is_sent: bool,
    /// What a chunk hook gave in the place of its chunk.
    pub(crate) emitted: Vec<u8>,
    /// Those of the message at hand.
    pub(crate) trailers: Head,
    /// Which one it is, and the endpoint.
    pub(crate) attempt: (u32, String),
    pub(crate) log: Vec<Line>,
    pub(crate) failed: Option<String>,
    pub(crate) edits: usize,
}

/// Where the exchange is: what may be read and changed depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// `configure`, or no hook at all.
    Outside,
    Request,
    RequestBody,
    RequestChunk,
    RequestTrailers,
    Upstream,
    Response,
    ResponseBody,
    ResponseChunk,
    ResponseTrailers,
    Log,
}

impl Process {
    pub(crate) const fn new() -> Self {
        Process {
            counters: Counters::new(),
            cache: Cache::new(),
            random: 0,
            metrics: &[],
            counted: Vec::new(),
            secrets: BTreeMap::new(),
            tokens: BTreeMap::new(),
            calls: Calls::new(),
            stores: Stores::new(),
            settings: serde_json::Value::Null,
            log_level: Level::Trace,
            body_limit: 1024 * 1024,
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            client_port: 50_000,
            tls_version: None,
            sni: None,
            certificate: None,
            route: String::new(),
            upstream: None,
        }
    }
}

impl Exchange {
    /// With nothing in it.
    pub(crate) const fn new() -> Self {
        Exchange {
            moment: Moment::Outside,
            request_id: String::new(),
            version: HttpVersion::Http11,
            path_params: BTreeMap::new(),
            request: RequestHead::new(),
            request_body: Vec::new(),
            response: ResponseHead::new(),
            response_body: Vec::new(),
            response_is_local: false,
            bag: BTreeMap::new(),
            consumer: None,
            received_ms: 0,
            upstream_us: None,
            connect_us: None,
            reply: None,
            is_sent: false,
            emitted: Vec::new(),
            trailers: Head { fields: Vec::new() },
            attempt: (0, String::new()),
            log: Vec::new(),
            failed: None,
            edits: 0,
        }
    }

    /// An edit of the request head: in the request phases, and not too many.
    pub(crate) fn edit_request(&mut self) -> Result<&mut RequestHead, EditError> {
        if !matches!(self.moment, Moment::Request | Moment::RequestBody) {
            return Err(EditError::TooLate);
        }
        self.count_edit()?;
        Ok(&mut self.request)
    }

    /// An edit of the response head, in the response phases.
    pub(crate) fn edit_response(&mut self) -> Result<&mut ResponseHead, EditError> {
        if !matches!(self.moment, Moment::Response | Moment::ResponseBody) {
            return Err(EditError::TooLate);
        }
        self.count_edit()?;
        Ok(&mut self.response)
    }

    /// An edit of a header of the request: also of an attempt's.
    pub(crate) fn edit_request_header(&mut self) -> Result<&mut Head, EditError> {
        if self.moment != Moment::Upstream {
            return Ok(&mut self.edit_request()?.head);
        }
        self.count_edit()?;
        Ok(&mut self.request.head)
    }

    /// An edit of the trailers, in their phases.
    pub(crate) fn edit_trailers(&mut self) -> Result<&mut Head, EditError> {
        if !self.has_trailers() {
            return Err(EditError::TooLate);
        }
        self.count_edit()?;
        Ok(&mut self.trailers)
    }

    pub(crate) fn has_trailers(&self) -> bool {
        matches!(self.moment, Moment::RequestTrailers | Moment::ResponseTrailers)
    }

    fn count_edit(&mut self) -> Result<(), EditError> {
        self.edits += 1;
        if self.edits > EDITS { Err(EditError::TooLarge) } else { Ok(()) }
    }
}

thread_local! {
    static CURRENT: RefCell<(Process, Exchange)> = const { RefCell::new((Process::new(), Exchange::new())) };
}

/// Ask the gateway of this thread.
pub(crate) fn current<T>(ask: impl FnOnce(&mut Process, &mut Exchange) -> T) -> T {
    CURRENT.with_borrow_mut(|(process, exchange)| ask(process, exchange))
}

/// Be the gateway of this thread while `hook` runs.
pub(crate) fn enter<T>(process: &mut Process, exchange: &mut Exchange, hook: impl FnOnce() -> T) -> T {
    let mut swap = || {
        current(|current_process, current_exchange| {
            std::mem::swap(current_process, process);
            std::mem::swap(current_exchange, exchange);
        });
    };
    swap();
    let result = hook();
    swap();
    result
}
