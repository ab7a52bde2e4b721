//! `throttle`: lets requests pass at a steady pace; who comes too early waits.
//!
//! ```toml
//! policies = [{ use = "throttle", with = { limit = 50, per = "1s", queue = 200, wait = "5s" } }]
//! ```
//!
//! The pace is that of all requests together. Those who wait take turns by key, so that one client with many requests does
//! not hold up the others; and who has a higher priority goes first. When the queue is full, whoever has most in
//! it makes room for others. Who finds no room, or has waited for too long, gets 429 with `Retry-After`, the time that all who
//! wait will take; a client that goes away leaves the queue.
//!
//! Each gateway has its own queue and its own pace, also with `[store] url`: nobody in one gateway's queue could take turns with
//! those in another's. `limit` is each gateway's share, so give each of three a third. `rate-limit` counts over all of them.

mod queue;
mod shaper;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};
use limen_store::{KeySeeds, Rate};
use serde::Deserialize;
use serde_json::Value;

use self::shaper::{Shaper, Terms, Waited};
use super::amount::{By, Decision, Keys, Missing, NoKey, Part, seconds};
use super::denial::Denial;
use super::settings::{SettingsError, Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, Verdict};

/// `throttle`: how fast, and who may wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `limit` (required): how many in `per`, 1 to 1,000,000.
    limit: u64,
    /// `per`: in what time, `"1ms"` to `"1h"`. Default `"1s"`.
    #[serde(default = "second")]
    per: Span,
    /// `burst`: how many may pass at once after a pause, 1 to 1,000,000. Default 1.
    #[serde(default = "one")]
    burst: u64,
    /// `queue`: how many may wait, 0 to 10,000. Default 100.
    #[serde(default = "queue")]
    queue: usize,
    /// `wait`: how long one may, `"1ms"` to `"5m"`. Default `"10s"`.
    #[serde(default = "wait")]
    wait: Span,
    /// `by`: whose requests take turns, as in `rate-limit`. Default `["consumer"]`.
    #[serde(default = "Part::usual")]
    by: Vec<Part>,
    /// `missing`: what becomes of a request that lacks a part of `by`, as in `rate-limit`; `"pass"` is not to wait. Default
    /// `"address"`.
    #[serde(default)]
    missing: Missing,
    /// `priority`: who goes first. Default: nobody.
    priority: Option<Priority>,
}

/// `priority`: by what, and what of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Priority {
    /// `of` (required): what it goes by, one of the parts of `by`: `{ attribute = "plan" }`.
    of: Part,
    /// `levels` (required): its values and their levels, 0 to 255: `{ gold = 2, silver = 1 }`. Higher ones go first; what is
    /// not named is 0.
    levels: BTreeMap<String, u8>,
}

const MAX_LIMIT: u64 = 1_000_000;
const MAX_QUEUE: usize = 10_000;
const PERIODS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60 * 60);
const WAITS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(5 * 60);

fn second() -> Span {
    Span(Duration::from_secs(1))
}

fn one() -> u64 {
    1
}

fn queue() -> usize {
    100
}

fn wait() -> Span {
    Span(Duration::from_secs(10))
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let Settings { limit, per: Span(per), burst, queue, wait: Span(wait), by, missing, priority } = settings;
    let within = |is: bool, pointer: &str, expected: &str| match is {
        true => Ok(()),
        false => Err(SettingsError::new(pointer, format!("expected {expected}"))),
    };
    within((1..=MAX_LIMIT).contains(&limit), "/limit", "a number from 1 to 1000000")?;
    within((1..=MAX_LIMIT).contains(&burst), "/burst", "a number from 1 to 1000000")?;
    within(PERIODS.contains(&per), "/per", "a time from 1ms to 1h")?;
    within(queue <= MAX_QUEUE, "/queue", "a number from 0 to 10000")?;
    within(WAITS.contains(&wait), "/wait", "a time from 1ms to 5m")?;
    let Some(rate) = Rate::new(limit, per, burst) else {
        return Err(SettingsError::new("", "nothing would ever pass"));
    };
    let terms = Terms { rate, room: queue };
    let shaper = materials.kept(|| Shaper::new(terms));
    shaper.adopt(terms);
    let by = By { parts: by, missing };
    Ok(Box::new(Throttle { terms, wait, by, priority, shaper, seeds: materials.kept(KeySeeds::default) }))
}

struct Throttle {
    terms: Terms,
    wait: Duration,
    by: By,
    priority: Option<Priority>,
    shaper: Arc<Shaper>,
    seeds: Arc<KeySeeds>,
}

impl Policy for Throttle {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let key = match self.by.key(exchange, "", Keys::Own(self.seeds.hasher())) {
            Ok(key) => key,
            Err(NoKey::Pass) => return Answer::Ready(Ok(Verdict::Next)),
            Err(NoKey::Refuse) => return NoKey::denial().answer(exchange),
        };
        if self.shaper.passes(self.terms) {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let level = self.priority.as_ref().map_or(0, |priority| priority.level(exchange));
        Answer::Wait(Box::pin(async move {
            let why = match self.shaper.wait(self.terms, level, key, self.wait).await {
                Waited::Passed => return Ok(Verdict::Next),
                Waited::NoRoom => "too many wait already",
                Waited::TooLong => "it has waited for too long",
            };
            self.refuse(why, exchange)
        }))
    }
}

impl Throttle {
    fn refuse(&self, why: &str, exchange: &mut Exchange) -> Decision {
        let wait = seconds(self.shaper.drained(self.terms)).max(1);
        Denial::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests.", why)
            .header(header::RETRY_AFTER, HeaderValue::from(wait))
            .stage(exchange)
    }
}

impl Priority {
    fn level(&self, exchange: &Exchange) -> u8 {
        let value = self.of.text(exchange);
        value.and_then(|value| self.levels.get(&*value).copied()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap_or_default();
        assert_eq!(mistake(json!({ "limit": 0 })), "/limit");
        assert_eq!(mistake(json!({ "limit": 1, "queue": 10_001 })), "/queue");
        assert_eq!(mistake(json!({ "limit": 1, "wait": "6m" })), "/wait");
        assert_eq!(
            mistake(json!({ "limit": 1, "priority": { "of": "consumer", "levels": { "ada": 256 } } })),
            "/priority/levels/ada"
        );
        assert!(plain(build, &json!({ "limit": 1 })).is_ok());
    }
}
