//! The seam between the gateway and whatever decides.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderName;

use crate::{Exchange, Later, Phase, Phases};

/// One entry of a route's `policies`: configured, and shared by all workers.
pub trait Policy: Send + Sync {
    /// The phases at which it wants to be asked. The same for its whole life.
    fn phases(&self) -> Phases;

    /// The most bytes of a body it wants buffered.
    fn body_limit(&self) -> u64 {
        1 << 20
    }

    /// Whether it wants to know when things happened.
    fn wants_timing(&self) -> bool {
        false
    }

    /// Whether it looks at the request's headers after the request has gone on. Where nobody does they go to the
    /// upstream as they are, and else as a copy.
    fn looks_back(&self) -> bool {
        true
    }

    /// Whether what it makes of a body's pieces is the same content, coded in another way. What the head says
    /// of the body it settles itself then, before the first piece.
    fn recodes(&self) -> bool {
        false
    }

    /// The upstream that it calls itself, if any.
    fn upstream(&self) -> Option<&str> {
        None
    }

    /// The same, if it is one that no section of the configuration says anything of.
    fn own_upstream(&self) -> Option<&limen_config::Upstream> {
        None
    }

    /// Where it looks for what shows who asks: no log tells what is there.
    fn secrets(&self) -> Vec<SecretPlace> {
        Vec::new()
    }

    /// What it has counted, if it is a quota.
    fn quota(&self) -> Option<&dyn QuotaUsage> {
        None
    }

    /// Whether what it keeps is to stay until the exchange has ended, whatever its phases, and to be dropped right
    /// then: before the client can know that it has.
    fn holds_on(&self) -> bool {
        false
    }

    /// Asks it at one of its phases. `seat` is what it keeps from one phase to the next of the same
    /// exchange; dropping it is how an exchange that ends early says so.
    ///
    /// Edits are journaled in the exchange; the caller commits or discards them by the answer. The
    /// exchange is boxed so that lending it to an isolate moves a pointer.
    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a>;

    /// The body that it asked for can't be given to it, which is a failure of its own: for those who look on.
    fn misses_body(&self, _failure: &Failure) {}

    /// It is not asked again in this exchange: what it kept of it may serve another one.
    fn leave(&self, _seat: Seat) {}
}

/// A place in a request that a secret may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    Header(HeaderName),
    /// A parameter of the query.
    Query(String),
}

/// What is used of a quota, for operators.
pub trait QuotaUsage: Send + Sync {
    /// Whose it is: the policy's name, or its route's and its own.
    fn name(&self) -> &str;

    /// When the window began that it counts in, and when it ends, in seconds since 1970.
    fn window(&self) -> (u64, u64);

    /// What this gateway has counted, by key, at most so many.
    fn used(&self, most: usize) -> Vec<(Arc<str>, u64)>;

    /// What is used of one key, wherever it is counted; none: the store does not answer.
    fn used_by<'a>(&'a self, key: &'a str) -> Later<'a, Option<u64>>;

    /// Forgets what is used of one key, wherever it is counted; how much that was. None: the store does not answer.
    fn reset<'a>(&'a self, key: &'a str) -> Later<'a, Option<u64>>;

    /// How much may be used, and in what time, in words. A change of it is a change of the quota.
    fn terms(&self) -> String;
}

/// What one policy keeps of one exchange, between its phases.
pub type Seat = Option<Box<dyn Any>>;

/// An answer now, or later: a policy that never waits allocates nothing for it.
pub enum Answer<'a> {
    Ready(Result<Verdict, Failure>),
    Wait(Pin<Box<dyn Future<Output = Result<Verdict, Failure>> + 'a>>),
}

/// What a policy wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Carry on, with the chunk as it came. Commits its edits.
    Next,
    /// Send the response staged in the exchange. Discards its edits.
    Reply,
    /// Buffer the body and ask again at [`Phase::body`]. Commits its edits.
    WantBody,
    /// Ask again for every piece of the body, at [`Phase::chunks`]. Commits its edits.
    WantChunks,
    /// Of a chunk: as it came, and so all that follow.
    PassRest,
    /// Of a chunk: what was emitted in its place.
    Emitted,
    /// Of a chunk: nothing.
    Drop,
}

impl Verdict {
    /// Whether it asks for the body, in one way or the other.
    pub fn wants_more(self) -> bool {
        matches!(self, Verdict::WantBody | Verdict::WantChunks)
    }
}

/// A policy that did not answer as it should. What happens then the operator has written (`on_error`).
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// For the log; never for the client. [`LONGEST_REASON`] bytes and a mark at most.
    pub reason: String,
}

/// A longer reason is cut: a policy may say what it likes, and each of its failures is told.
const LONGEST_REASON: usize = 1 << 10;

/// In what way a policy failed; the name is a field of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It said so itself.
    Failed,
    /// It trapped: a panic, an illegal access, a stack overflow.
    Trap,
    /// It used more CPU time than `limits.cpu` in one hook.
    CpuLimit,
    /// It took longer than `limits.wall` for one hook, waiting included.
    WallLimit,
    /// It wanted more memory than `limits.memory`.
    MemoryLimit,
    /// One of its calls brought more than `limits.host_call_bytes`.
    HostCallLimit,
    /// No isolate was free.
    NoIsolate,
    /// It was not asked: it failed too often, or has used up its share of the worker's time.
    HeldBack,
    /// Its answer breaks the contract.
    Contract,
    /// A body it wanted could not be given to it: too long or encoded.
    Body,
}

impl FailureKind {
    pub const ALL: [FailureKind; 10] = [
        FailureKind::Failed,
        FailureKind::Trap,
        FailureKind::CpuLimit,
        FailureKind::WallLimit,
        FailureKind::MemoryLimit,
        FailureKind::HostCallLimit,
        FailureKind::NoIsolate,
        FailureKind::HeldBack,
        FailureKind::Contract,
        FailureKind::Body,
    ];

    /// Whether it speaks against the policy itself, so that it may be left alone for a while.
    pub fn is_its_fault(self) -> bool {
        match self {
            FailureKind::Trap
            | FailureKind::CpuLimit
            | FailureKind::WallLimit
            | FailureKind::MemoryLimit
            | FailureKind::HostCallLimit
            | FailureKind::Contract => true,
            FailureKind::Failed | FailureKind::NoIsolate | FailureKind::HeldBack | FailureKind::Body => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Failed => "failed",
            FailureKind::Trap => "trap",
            FailureKind::CpuLimit => "cpu-limit",
            FailureKind::WallLimit => "wall-limit",
            FailureKind::MemoryLimit => "memory-limit",
            FailureKind::HostCallLimit => "host-call-limit",
            FailureKind::NoIsolate => "no-isolate",
            FailureKind::HeldBack => "held-back",
            FailureKind::Contract => "contract",
            FailureKind::Body => "body",
        }
    }
}

impl Failure {
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        if reason.len() > LONGEST_REASON {
            let whole = reason.len();
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            reason.shrink_to_fit();
            reason.push_str(&format!(" [cut, of {whole} bytes]"));
        }
        Failure { kind, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.reason)
    }
}
