//! `RateLimit` and `RateLimit-Policy`: what a client may, and what it has left
//! (draft-ietf-httpapi-ratelimit-headers-10).

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use crate::native::settings::SettingsError;
use crate::{Change, Exchange, Side};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What can be told of some limits.
pub(in crate::native) struct Fields {
    names: Vec<String>,
    policy: String,
}

/// Where one limit stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::native) struct Standing {
    pub(in crate::native) remaining: u64,
    /// Until all of it is there again.
    pub(in crate::native) full: Duration,
}

impl Fields {
    /// Of limits: their names, how much, and in what time. A time that is no whole number of seconds can't be
    /// told.
    pub(in crate::native) fn new<'a>(
        limits: impl IntoIterator<Item = (&'a str, u64, Option<Duration>)>,
    ) -> Result<Self, SettingsError> {
        let mut fields = Fields { names: Vec::new(), policy: String::new() };
        for (name, quantity, window) in limits {
            // A string (RFC 9651, section 3.3.3).
            let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                let message =
                    format!("the name of a limit is 1 to 64 printable characters without quotes: `{name}`");
                return Err(SettingsError::new("", message));
            }
            if fields.names.iter().any(|known| *known == name) {
                return Err(SettingsError::new(
                    "",
                    format!("two limits are called `{name}`; give them a `name`"),
                ));
            }
            fields.names.push(name.to_owned());
            let separator = if fields.policy.is_empty() { "" } else { ", " };
            let _ = write!(fields.policy, "{separator}\"{name}\";q={quantity}");
            if let Some(window) = window.filter(|window| window.subsec_nanos() == 0) {
                let _ = write!(fields.policy, ";w={}", window.as_secs());
            }
        }
        Ok(fields)
    }

    /// Tells it with the response, beside what others tell.
    pub(in crate::native) fn tell(&self, standings: impl Iterator<Item = Standing>, exchange: &mut Exchange) {
        let mut text = String::with_capacity(32 * self.names.len());
        for (name, Standing { remaining, full }) in self.names.iter().zip(standings) {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}\"{name}\";r={remaining};t={}", seconds(full));
        }
        // It is a head of its own or the upstream's: there is room for two more.
        for (name, text) in
            [(POLICY, HeaderValue::from_str(&self.policy)), (LIMIT, HeaderValue::try_from(text))]
        {
            let _ = text.map(|text| exchange.change_header(Side::Response, name, Change::Add(text)));
        }
    }
}

/// Whole seconds, and not too few of them.
pub(in crate::native) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
