//! One of `fields` of the access log

use http::HeaderName;

use crate::suggest::did_you_mean;
use crate::value::Value;

/// What a line of the access log can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Id,
    Client,
    Peer,
    Consumer,
    Listener,
    Scheme,
    Protocol,
    Tls,
    Sni,
    Method,
    Host,
    Path,
    Query,
    UserAgent,
    Referer,
    Route,
    Upstream,
    Endpoint,
    Attempts,
    Policies,
    Status,
    Reason,
    Why,
    Background,
    Complete,
    EndedBy,
    BytesIn,
    BytesOut,
    Duration,
    UpstreamTime,
    PolicyTime,
    PolicyMemory,
    TraceId,
    RequestHeader(HeaderName),
    ResponseHeader(HeaderName),
}

const NAMES: &[(&str, Field)] = &[
    ("id", Field::Id),
    ("client", Field::Client),
    ("peer", Field::Peer),
    ("consumer", Field::Consumer),
    ("listener", Field::Listener),
    ("scheme", Field::Scheme),
    ("protocol", Field::Protocol),
    ("tls", Field::Tls),
    ("sni", Field::Sni),
    ("method", Field::Method),
    ("host", Field::Host),
    ("path", Field::Path),
    ("query", Field::Query),
    ("user_agent", Field::UserAgent),
    ("referer", Field::Referer),
    ("route", Field::Route),
    ("upstream", Field::Upstream),
    ("endpoint", Field::Endpoint),
    ("attempts", Field::Attempts),
    ("policies", Field::Policies),
    ("status", Field::Status),
    ("reason", Field::Reason),
    ("why", Field::Why),
    ("background", Field::Background),
    ("complete", Field::Complete),
    ("ended_by", Field::EndedBy),
    ("bytes_in", Field::BytesIn),
    ("bytes_out", Field::BytesOut),
    ("duration_us", Field::Duration),
    ("upstream_us", Field::UpstreamTime),
    ("policy_us", Field::PolicyTime),
    ("policy_memory", Field::PolicyMemory),
    ("trace_id", Field::TraceId),
];

impl Field {
    pub(super) fn read(value: &Value<'_>) -> Option<Field> {
        const EXPECTED: &str = "the name of a field, or `request.NAME` or `response.NAME` for a header";
        let text = value.text(EXPECTED)?;
        if let Some((_, field)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Some(field.clone());
        }
        let header = text.strip_prefix("request.").map(|name| (name, true));
        let header = header.or_else(|| text.strip_prefix("response.").map(|name| (name, false)));
        if let Some((name, of_request)) = header
            && let Ok(name) = HeaderName::try_from(name)
        {
            return Some(if of_request { Field::RequestHeader(name) } else { Field::ResponseHeader(name) });
        }
        let error = value.error(format!("no field `{text}`")).expected(EXPECTED);
        value.fail(error.maybe_hint(did_you_mean(&text, NAMES.iter().map(|(name, _)| *name))))
    }

    pub(super) fn defaults() -> Vec<Field> {
        vec![
            Field::Id,
            Field::Client,
            Field::Consumer,
            Field::Method,
            Field::Host,
            Field::Path,
            Field::Status,
            Field::Reason,
            Field::Why,
            Field::Background,
            Field::Route,
            Field::Upstream,
            Field::Endpoint,
            Field::Attempts,
            Field::Policies,
            Field::BytesIn,
            Field::BytesOut,
            Field::Duration,
            Field::PolicyTime,
            Field::PolicyMemory,
            Field::Complete,
            Field::EndedBy,
        ]
    }

    /// What it is called in the file and in a line.
    pub fn name(&self) -> String {
        match self {
            Field::RequestHeader(name) => format!("request.{name}"),
            Field::ResponseHeader(name) => format!("response.{name}"),
            plain => {
                let named = NAMES.iter().find(|(_, field)| field == plain);
                named.map_or_else(String::new, |(name, _)| (*name).to_owned())
            }
        }
    }
}
