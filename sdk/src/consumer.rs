//! Whom the exchange is for. Reading needs the grant `consumer = "read"`, naming `consumer = "set"`.
//!
//! A policy that checks keys, tokens or certificates names the consumer; those after it on the route go by
//! it, and the access log shows its id. Each function costs one crossing.

use crate::request::refused;
use crate::{Result, host};

/// `None`: nobody was named.
pub fn id() -> Option<String> {
    host::consumer::id()
}

/// What else is known of the consumer.
pub fn attribute(name: &str) -> Option<String> {
    host::consumer::attribute(name)
}

/// Name the consumer, in place of one named before, in the request phases. Staged like an edit of the
/// head. Errors: an id that is empty, over 256 bytes, or has a control character.
///
/// ```no_run
/// # use limen::{consumer, prelude::*};
/// # fn hook(owner: &str) -> Result<Flow> {
/// consumer::set(owner)?;
/// consumer::set_attribute("plan", "gold")?;
/// # Ok(Flow::Next)
/// # }
/// ```
pub fn set(id: &str) -> Result<()> {
    host::consumer_edit::set(id).map_err(|why| refused("consumer", id, why))
}

/// Say more of the consumer: its plan, its tenant, a claim of its token. Errors: nobody was named, or over
/// 32 attributes or 16 KiB.
pub fn set_attribute(name: &str, value: &str) -> Result<()> {
    host::consumer_edit::set_attribute(name, value)
        .map_err(|why| refused("attribute of the consumer", name, why))
}
