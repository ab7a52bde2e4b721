//! What gateways count together, and what becomes of requests while that can't be asked for.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use limen_store::Redis;
use serde::Deserialize;

use crate::native::Materials;
use crate::native::denial::Denial;

/// Who counts together.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::native) enum Scope {
    /// All gateways with the same `[store] url`.
    #[default]
    Shared,
    /// Each gateway for itself.
    Gateway,
}

/// What becomes of a request while the store does not answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::native) enum OnStoreError {
    /// Each gateway counts for itself.
    #[default]
    Local,
    /// It is refused.
    Refuse,
}

impl Scope {
    /// Where it is counted, if that is not here.
    pub(in crate::native) fn store<'a>(self, materials: &Materials<'a>) -> Option<&'a Arc<Redis>> {
        materials.shared().filter(|_| self == Scope::Shared)
    }
}

/// 503: nobody knows whether it may pass.
pub(in crate::native) fn unknown() -> Denial {
    let why = "the store that counts it does not answer";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Denial::new(status, "store_unavailable", "The service is not available at the moment.", why)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
