//! The moments of an exchange at which a policy can be asked.

/// One moment; each comes at most once per exchange and policy, but for chunks (one call each) and
/// attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The request head is there. In the route's order.
    #[default]
    Request,
    /// The whole request body is there; only after [`Verdict::WantBody`](crate::Verdict::WantBody).
    RequestBody,
    /// A piece of the request body; only after [`Verdict::WantChunks`](crate::Verdict::WantChunks).
    RequestChunk,
    /// Trailers follow the request body.
    RequestTrailers,
    /// The request is about to go to an endpoint.
    Upstream,
    /// The response head is there, the upstream's or a local one. In reverse order.
    Response,
    /// The whole response body is there; only after [`Verdict::WantBody`](crate::Verdict::WantBody).
    ResponseBody,
    /// A piece of the response body; only after [`Verdict::WantChunks`](crate::Verdict::WantChunks).
    ResponseChunk,
    /// Trailers follow the response body.
    ResponseTrailers,
    /// The exchange has ended, however it ended.
    Log,
}

impl Phase {
    /// Every phase, in the order of an exchange.
    pub const ALL: [Phase; 10] = [
        Phase::Request,
        Phase::RequestBody,
        Phase::RequestChunk,
        Phase::RequestTrailers,
        Phase::Upstream,
        Phase::Response,
        Phase::ResponseBody,
        Phase::ResponseChunk,
        Phase::ResponseTrailers,
        Phase::Log,
    ];

    /// Its name in logs and in the contract (`hook-request`, ...).
    pub fn name(self) -> &'static str {
        match self {
            Phase::Request => "request",
            Phase::RequestBody => "request-body",
            Phase::RequestChunk => "request-chunk",
            Phase::RequestTrailers => "request-trailers",
            Phase::Upstream => "upstream",
            Phase::Response => "response",
            Phase::ResponseBody => "response-body",
            Phase::ResponseChunk => "response-chunk",
            Phase::ResponseTrailers => "response-trailers",
            Phase::Log => "log",
        }
    }

    /// The phase that [`Verdict::WantBody`](crate::Verdict::WantBody) leads to.
    pub fn body(self) -> Option<Phase> {
        match self {
            Phase::Request => Some(Phase::RequestBody),
            Phase::Response => Some(Phase::ResponseBody),
            _ => None,
        }
    }

    /// Whether a policy may be asked at this phase that has not been asked before in the exchange.
    pub fn may_be_first(self) -> bool {
        !matches!(self, Phase::RequestChunk | Phase::ResponseChunk)
    }

    /// The phase that [`Verdict::WantChunks`](crate::Verdict::WantChunks) leads to.
    pub fn chunks(self) -> Option<Phase> {
        match self {
            Phase::Request => Some(Phase::RequestChunk),
            Phase::Response => Some(Phase::ResponseChunk),
            _ => None,
        }
    }
}

/// The phases that a policy has: it is asked at no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u16);

impl Phases {
    pub fn has(self, phase: Phase) -> bool {
        self.0 & Self::bit(phase) != 0
    }

    pub fn with(self, phase: Phase) -> Self {
        Phases(self.0 | Self::bit(phase))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any phase of this set comes after the given one in an exchange.
    pub fn any_after(self, phase: Phase) -> bool {
        self.0 & !(Self::bit(phase) | (Self::bit(phase) - 1)) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |&phase| self.has(phase))
    }

    fn bit(phase: Phase) -> u16 {
        1 << phase as u8
    }
}

impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        phases.into_iter().fold(Phases::default(), Phases::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_what_comes_after() {
        let phases: Phases = [Phase::Request, Phase::Log].into_iter().collect();
        assert!(phases.has(Phase::Request) && !phases.has(Phase::Response));
        assert!(phases.any_after(Phase::Request));
        assert!(phases.any_after(Phase::ResponseBody));
        assert!(!phases.any_after(Phase::Log));
        assert_eq!(phases.iter().collect::<Vec<_>>(), [Phase::Request, Phase::Log]);
    }
}
