//! W3C Trace Context: which trace a request belongs to, and whether it is recorded.

use std::fmt;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Names a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// Names a span of a trace: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: TraceId,
    pub span: SpanId,
    pub sampled: bool,
}

impl TraceId {
    pub fn random() -> Self {
        TraceId(fastrand::u128(1..))
    }
}

impl SpanId {
    pub fn random() -> Self {
        SpanId(fastrand::u64(1..))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Parent {
    /// The one that a request names. Several, or one that is not as it should be, are as good as none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.to_str().ok()?)
    }

    /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`; later versions may go on after that.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = TraceId(hex(parts.next()?, 32)?);
        let span = SpanId(u64::try_from(hex(parts.next()?, 16)?).ok()?);
        let flags = hex(parts.next()?, 2)?;
        let is_known = version < 0xff && (version > 0 || parts.next().is_none());
        let sampled = flags & 1 == 1;
        (is_known && trace.0 != 0 && span.0 != 0).then_some(Parent { trace, span, sampled })
    }

    /// As it is sent on.
    pub fn header(self) -> Option<HeaderValue> {
        let Parent { trace, span, sampled } = self;
        let flags = u8::from(sampled);
        HeaderValue::try_from(format!("00-{trace}-{:016x}-{flags:02x}", span.0)).ok()
    }
}

/// Exactly this many digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written() {
        let parent = Parent::parse(GOOD).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.header().unwrap(), GOOD);
        assert!(!Parent::parse(&GOOD.replace("-01", "-fe")).unwrap().sampled);
        assert!(Parent::parse(&format!("01{}-more", &GOOD[2..])).is_some());
    }

    #[test]
    fn what_is_not_as_it_should_be_is_none() {
        let upper = GOOD.to_uppercase();
        let bad = [
            "",
            "00",
            &upper,
            &format!("{GOOD}-more"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad", "b7a"),
            &GOOD.replace("b7ad", "b7ag"),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("00-", "+0-"),
        ];
        for text in bad {
            assert_eq!(Parent::parse(text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Parent::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Parent::of(&headers), None);
    }
}
