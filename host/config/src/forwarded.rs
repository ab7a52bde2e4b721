//! `forwarded` of the gateway

use crate::value::{Value, choice, list};

/// A kind of header by which the upstream is told whom the gateway asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    XForwarded,
    /// `X-Real-IP`: the client's address alone.
    XRealIp,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `Via` (RFC 9110, section 7.6.3), on responses as well.
    Via,
}

const KINDS: &[(&str, Forwarded)] = &[
    ("x-forwarded", Forwarded::XForwarded),
    ("x-real-ip", Forwarded::XRealIp),
    ("forwarded", Forwarded::Forwarded),
    ("via", Forwarded::Via),
];

/// Each kind once.
pub(crate) fn kinds(value: &Value<'_>) -> Option<Vec<Forwarded>> {
    let kinds = list(choice(KINDS))(value)?;
    for (n, (kind, item)) in kinds.iter().zip(value.items("an array")?).enumerate() {
        if kinds.iter().take(n).any(|before| before == kind) {
            return item.fail(item.error("the same header twice").expected("each once"));
        }
    }
    Some(kinds)
}
