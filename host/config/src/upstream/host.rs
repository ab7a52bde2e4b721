//! `host` of an upstream

use http::HeaderValue;

use crate::value::Value;

/// What an upstream reads as `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamHost {
    /// What the client asked for.
    Keep,
    /// Name and port of the endpoint, as `endpoints` says them.
    Endpoint,
    /// Always this.
    Name(HeaderValue),
}

impl UpstreamHost {
    pub(super) fn read(value: &Value<'_>) -> Option<UpstreamHost> {
        const EXPECTED: &str =
            "\"keep\", \"endpoint\", or a host like \"users.internal\" or \"users.internal:8080\"";
        let text = value.text(EXPECTED)?;
        match text.as_str() {
            "keep" => return Some(UpstreamHost::Keep),
            "endpoint" => return Some(UpstreamHost::Endpoint),
            _ => {}
        }
        let authority = text.parse::<http::uri::Authority>().ok().filter(|_| !text.contains('@'));
        let name = authority.and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
        match name {
            Some(name) => Some(UpstreamHost::Name(name)),
            None => value.fail(value.error(format!("not a host: `{text}`")).expected(EXPECTED)),
        }
    }
}
