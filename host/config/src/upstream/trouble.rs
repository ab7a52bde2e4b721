//! What can come instead of a good answer: the words of `on` in `retries` and `fallback`

use http::StatusCode;

use crate::suggest::{did_you_mean, one_of};
use crate::value::{Value, some};

/// What came of a request instead of a good answer. In `on` it is written as a word, or as a status
/// such as "503".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// "connect": no connection came about: refused, unreachable, too slow, TLS failed.
    Connect,
    /// "refused-stream": the upstream said that it has not looked at the request (REFUSED_STREAM of
    /// HTTP/2, RFC 9113, section 8.7), or closed the connection before anything was sent.
    RefusedStream,
    /// "reset": the connection broke before the head of a response, or what came was no response.
    Reset,
    /// "timeout": no head of a response within `first_byte` of `timeout`, or `per_try` of `retries`.
    Timeout,
    /// "open": the circuit breaker is open.
    Open,
    /// "overload": a limit of `limits` is reached, and its queue full or too slow.
    Overload,
    /// "503", or any other status from 400 to 599.
    Status(StatusCode),
    /// "gateway-error": the statuses 502, 503 and 504.
    GatewayError,
    /// "5xx": any status from 500 to 599.
    ServerError,
}

impl Trouble {
    const OF_TRIES: &[(&str, Trouble)] = &[
        ("connect", Trouble::Connect),
        ("refused-stream", Trouble::RefusedStream),
        ("reset", Trouble::Reset),
        ("timeout", Trouble::Timeout),
        ("gateway-error", Trouble::GatewayError),
        ("5xx", Trouble::ServerError),
    ];
    const OF_EXCHANGES: &[(&str, Trouble)] = &[
        ("connect", Trouble::Connect),
        ("refused-stream", Trouble::RefusedStream),
        ("reset", Trouble::Reset),
        ("timeout", Trouble::Timeout),
        ("open", Trouble::Open),
        ("overload", Trouble::Overload),
        ("gateway-error", Trouble::GatewayError),
        ("5xx", Trouble::ServerError),
    ];

    /// Whether trouble that came is what this stands for.
    pub fn covers(self, came: Trouble) -> bool {
        match (self, came) {
            (Trouble::GatewayError, Trouble::Status(status)) => matches!(status.as_u16(), 502..=504),
            (Trouble::ServerError, Trouble::Status(status)) => status.is_server_error(),
            (named, came) => named == came,
        }
    }

    /// `on` of `retries`: what another try may help against.
    pub(super) fn read_of_tries(value: &Value<'_>) -> Option<Vec<Trouble>> {
        some(|item| read(item, Self::OF_TRIES))(value)
    }

    /// `on` of `fallback`.
    pub(super) fn read_of_exchanges(value: &Value<'_>) -> Option<Vec<Trouble>> {
        some(|item| read(item, Self::OF_EXCHANGES))(value)
    }
}

fn read(value: &Value<'_>, words: &'static [(&'static str, Trouble)]) -> Option<Trouble> {
    let names = || words.iter().map(|(name, _)| *name);
    let expected = format!("{}, or a status like \"503\"", one_of(names()));
    let written = value.text(&expected)?;
    if let Some((_, trouble)) = words.iter().find(|(name, _)| *name == written) {
        return Some(*trouble);
    }
    let status = written.parse().ok().filter(|status| (400..=599).contains(status));
    match status.and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(status) => Some(Trouble::Status(status)),
        None => {
            let error = value.error(format!("unknown value `{written}`")).expected(expected);
            value.fail(error.maybe_hint(did_you_mean(&written, names())))
        }
    }
}
