//! `quota`: so much in an hour, a day or a month, for each consumer by its plan.
//!
//! ```toml
//! policies = [{ use = "quota", with = { per = "month", zone = "Europe/Berlin", limit = 1000, plans = { gold = 100000 } } }]
//! ```
//!
//! It counts from the beginning of the minute, hour, day, week (Monday) or month in the time zone, to the end of it, days of 23 and
//! 25 hours among them. Who has used it up gets 429 with `Retry-After`, and a request that is refused takes nothing; every
//! answer has `RateLimit` and `RateLimit-Policy`. What is used outlives the process: in the file of `[store]`, or with
//! `[store] url` in the store, where all gateways count together. Each takes it for the window that its own clock is in. To
//! the file it comes some milliseconds later, and to the disk a quarter of a second later, or when the gateway is told to
//! end: what was counted in these may be used again, after a `kill -9` or after a crash of the machine. What is over is
//! taken out of the file, at a start and at reloads, that of policies which are no longer there after 32 days. Where a reload puts a `url` into `[store]`, or takes it out, what
//! was used is not taken along: it begins anew in the store, or with what the file last had; the log warns of it.
//! `limen quota show` and `GET /quotas` of the admin listener tell what is used, with `?quota=NAME&key=KEY` of one
//! key; `limen quota reset` and `DELETE` with the same: nothing of it is used any more.

pub(super) mod counts;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use limen_store::{Gone, Journal, QuotaTake, Redis};
use serde::Deserialize;
use serde_json::Value;

use self::counts::Counts;
use self::window::{Calendar, Period, Window};
use super::amount::{
    By, Cost, Decision, Fields, Missing, NoKey, OnStoreError, Part, Scope, Standing, seconds, unknown,
};
use super::denial::Denial;
use super::settings::{SettingsError, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Later, Phase, Phases, Policy, QuotaUsage, Seat, Verdict};

/// `quota`: how much, and in what time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `per` (required): `"minute"`, `"hour"`, `"day"`, `"week"` or `"month"`.
    per: Period,
    /// `limit` (required): how much for whom no plan says otherwise, 0 to 1,000,000,000,000.
    limit: u64,
    /// `plans`: how much by plan: `{ gold = 100000 }`. Default: the same for all.
    #[serde(default)]
    plans: BTreeMap<String, u64>,
    /// `plan`: what the plan is, one of the parts of `by`. Default `{ attribute = "plan" }`, of the consumer.
    #[serde(default = "plan")]
    plan: Part,
    /// `zone`: the time zone (IANA): `"Europe/Berlin"`. Default `"UTC"`.
    #[serde(default = "utc")]
    zone: String,
    /// `by`: whom it is counted for, as in `rate-limit`. Default `["consumer"]`.
    #[serde(default = "Part::usual")]
    by: Vec<Part>,
    /// `missing`: what becomes of a request that lacks a part of `by`, as in `rate-limit`. Default `"address"`.
    #[serde(default)]
    missing: Missing,
    /// `cost`: how much a request takes, as in `rate-limit`. Default 1.
    #[serde(default)]
    cost: Cost,
    /// `name`: what clients read. Default: its `per`.
    name: Option<String>,
    /// `headers`: whether answers have `RateLimit` and `RateLimit-Policy`. Default `true`.
    #[serde(default = "yes")]
    headers: bool,
    /// `scope`: `"shared"` or `"gateway"`, as in `rate-limit`. Default `"shared"`.
    #[serde(default)]
    scope: Scope,
    /// `on_store_error`: what becomes of requests while the store does not answer: `"local"` (each gateway counts on for
    /// itself, from what the store last told it of that key, and tells the store when it is back) or `"refuse"` (503).
    /// Default `"local"`.
    #[serde(default)]
    on_store_error: OnStoreError,
    /// `keys`: how many keys a gateway counts, 1,000 to 10,000,000; one takes some 200 bytes. One more takes the place
    /// of those of past windows, and if there are none, of the tenth that has used least. Default 100,000.
    #[serde(default = "keys")]
    keys: usize,
}

const MAX_LIMIT: u64 = 1_000_000_000_000;
const KEYS: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;

fn plan() -> Part {
    Part::Attribute("plan".to_owned())
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

fn keys() -> usize {
    100_000
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let limits = settings.plans.iter().map(|(plan, limit)| (format!("/plans/{plan}"), *limit));
    for (pointer, limit) in limits.chain([("/limit".to_owned(), settings.limit)]) {
        if limit > MAX_LIMIT {
            return Err(SettingsError::new(&pointer, format!("expected a number from 0 to {MAX_LIMIT}")));
        }
    }
    if !KEYS.contains(&settings.keys) {
        return Err(SettingsError::new("/keys", "expected a number from 1000 to 10000000"));
    }
    let zone = TimeZone::get(&settings.zone).map_err(|_| {
        SettingsError::new("/zone", format!("no time zone like \"Europe/Berlin\": `{}`", settings.zone))
    })?;
    let cost = settings.cost.check()?;
    let name = settings.name.unwrap_or_else(|| format!("{:?}", settings.per).to_ascii_lowercase());
    // Tried here; what is told is by the plan.
    Fields::new([(&*name, settings.limit, None)]).map_err(|error| error.under("/name"))?;
    let store = settings.scope.store(materials);
    let calendar = Calendar::new(settings.per, zone);
    let counts = counts(materials, store.is_some(), settings.keys, calendar.now())?;
    counts.resize(settings.keys);
    Ok(Box::new(Quota {
        calendar,
        limit: settings.limit,
        plans: settings.plans,
        plan: settings.plan,
        by: By { parts: settings.by, missing: settings.missing },
        cost,
        name,
        headers: settings.headers,
        counts,
        shared: store.cloned(),
        on_store_error: settings.on_store_error,
        whose: materials.name.to_owned(),
    }))
}

/// What is counted here: all of it, or what is while the store is gone.
fn counts(
    materials: &Materials<'_>,
    is_shared: bool,
    keys: usize,
    now: Window,
) -> Result<Arc<Counts>, SettingsError> {
    // What is counted while the store is gone is not worth keeping.
    let journal = if is_shared { None } else { Some(materials.journal()?) };
    let (mut is_elsewhere, mut is_new) = (false, false);
    let fits = |known: &Counts| {
        let fits = journal.as_ref().map_or(known.are_nowhere(), |journal| known.are_in(journal));
        is_elsewhere |= !fits;
        fits
    };
    let new = || {
        is_new = true;
        let journal = journal.clone().unwrap_or_else(|| Arc::new(Journal::nowhere()));
        Arc::new(Counts::open(materials.name, journal, keys, now))
    };
    let counts = materials.kept_if(fits, new);
    if is_elsewhere && is_new {
        let place = if is_shared { "the store of [store] `url`" } else { "the file of [store]" };
        tracing::warn!(
            quota = materials.name,
            "from now on it is counted in {place}: what was used elsewhere is not taken along"
        );
    }
    Ok(counts)
}

struct Quota {
    calendar: Calendar,
    limit: u64,
    plans: BTreeMap<String, u64>,
    plan: Part,
    by: By,
    cost: Cost,
    name: String,
    headers: bool,
    counts: Arc<Counts>,
    /// None: this gateway counts for itself.
    shared: Option<Arc<Redis>>,
    on_store_error: OnStoreError,
    whose: String,
}

/// What a request takes, and of what.
struct Want {
    key: String,
    window: Window,
    limit: u64,
    cost: u64,
    now: Timestamp,
}

/// What is told with the answer.
struct Told {
    limit: u64,
    used: u64,
    window: Window,
    now: Timestamp,
}

impl Policy for Quota {
    fn phases(&self) -> Phases {
        let phases = Phases::default().with(Phase::Request);
        if self.headers { phases.with(Phase::Response) } else { phases }
    }

    fn quota(&self) -> Option<&dyn QuotaUsage> {
        Some(self)
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        if phase == Phase::Response {
            self.tell(exchange, seat);
            return Answer::Ready(Ok(Verdict::Next));
        }
        let want = match self.want(exchange) {
            Ok(want) => want,
            Err(NoKey::Pass) => return Answer::Ready(Ok(Verdict::Next)),
            Err(NoKey::Refuse) => return NoKey::denial().answer(exchange),
        };
        match &self.shared {
            None => Answer::Ready(self.take_here(&want, exchange, seat)),
            Some(store) => Answer::Wait(Box::pin(async move {
                let Want { key, window, limit, cost, now } = &want;
                // Another gateway's clock may be late.
                let life = window.rest(*now) + std::time::Duration::from_secs(60);
                let key = format!("{}/{key}", self.whose);
                let debt = self.counts.debt(&want.key, *window);
                let take = QuotaTake { cost: *cost, limit: *limit, owed: debt.owed };
                match store.take_quota(&key, window.start, take, life).await {
                    Ok((allowed, used)) => {
                        debt.settle(used);
                        self.settle(&want, allowed, used, exchange, seat)
                    }
                    Err(Gone) if self.on_store_error == OnStoreError::Local => {
                        drop(debt);
                        self.take_meanwhile(&want, exchange, seat)
                    }
                    Err(Gone) => unknown().stage(exchange),
                }
            })),
        }
    }
}

impl QuotaUsage for Quota {
    #[expect(clippy::misnamed_getters, reason = "whose it is, is its name")]
    fn name(&self) -> &str {
        &self.whose
    }

    fn window(&self) -> (u64, u64) {
        let Window { start, end } = self.calendar.now();
        (u64::from(start) * 60, u64::from(end) * 60)
    }

    fn used(&self, most: usize) -> Vec<(Arc<str>, u64)> {
        self.counts.used(self.calendar.now(), most)
    }

    fn used_by<'a>(&'a self, key: &'a str) -> Later<'a, Option<u64>> {
        Box::pin(async move {
            let (key, window) = (self.by.label_of(key), self.calendar.now());
            match &self.shared {
                None => Some(self.counts.used_by(&key, window)),
                Some(store) => store.used_quota(&format!("{}/{key}", self.whose), window.start).await.ok(),
            }
        })
    }

    fn reset<'a>(&'a self, key: &'a str) -> Later<'a, Option<u64>> {
        Box::pin(async move {
            let (key, window) = (self.by.label_of(key), self.calendar.now());
            let here = self.counts.reset(&key, window);
            match &self.shared {
                None => Some(here),
                Some(store) => store.reset_quota(&format!("{}/{key}", self.whose), window.start).await.ok(),
            }
        })
    }

    fn terms(&self) -> String {
        let plans = self.plans.iter().map(|(plan, limit)| format!(", {plan}: {limit}"));
        format!("{} per {}{}", self.limit, self.calendar, plans.collect::<String>())
    }
}

impl Quota {
    fn want(&self, exchange: &Exchange) -> Result<Want, NoKey> {
        let key = self.by.label(exchange)?;
        let plan = self.plan.text(exchange);
        let limit = plan.and_then(|plan| self.plans.get(&*plan)).copied().unwrap_or(self.limit);
        let now = Timestamp::now();
        // A clock that is out of the calendar: then there is one window for ever.
        let window = self.calendar.window(now).unwrap_or_default();
        Ok(Want { key, window, limit, cost: self.cost.of(exchange), now })
    }

    fn take_here(&self, want: &Want, exchange: &mut Exchange, seat: &mut Seat) -> Decision {
        let (allowed, used) = self.counts.take(&want.key, want.window, want.cost, want.limit);
        self.settle(want, allowed, used, exchange, seat)
    }

    /// The same while the store does not answer.
    fn take_meanwhile(&self, want: &Want, exchange: &mut Exchange, seat: &mut Seat) -> Decision {
        let (allowed, used) = self.counts.take_and_owe(&want.key, want.window, want.cost, want.limit);
        self.settle(want, allowed, used, exchange, seat)
    }

    /// Lets it pass, or not.
    fn settle(
        &self,
        want: &Want,
        allowed: bool,
        used: u64,
        exchange: &mut Exchange,
        seat: &mut Seat,
    ) -> Decision {
        let Want { window, limit, now, .. } = *want;
        if self.headers {
            *seat = Some(Box::new(Told { limit, used, window, now }));
        }
        if allowed {
            return Ok(Verdict::Next);
        }
        let why = format!("the quota `{}` is used up: {used} of {limit}", self.name);
        let wait = HeaderValue::from(seconds(window.rest(now)).max(1));
        Denial::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", "The quota is used up.", why)
            .header(header::RETRY_AFTER, wait)
            .stage(exchange)
    }

    fn tell(&self, exchange: &mut Exchange, seat: &mut Seat) {
        let Some(told) = seat.take().and_then(|seat| seat.downcast::<Told>().ok()) else { return };
        let Told { limit, used, window, now } = *told;
        // The name was tried at load.
        let Ok(fields) = Fields::new([(&*self.name, limit, Some(window.length()))]) else { return };
        let standing = Standing { remaining: limit.saturating_sub(used), full: window.rest(now) };
        fields.tell([standing].into_iter(), exchange);
    }
}
