//! `rate-limit`: so many requests in a time, for each client, consumer, key or whatever else tells them apart.
//!
//! ```toml
//! policies = [{ use = "rate-limit", with = { limits = [{ limit = 100, per = "1m" }, { limit = 5, per = "1s" }] } }]
//! ```
//!
//! All limits must allow a request; one that is refused takes nothing from any. A limit refills steadily (GCRA), and
//! after a pause up to `burst` requests may come at once: in any stretch of time T, not more than
//! `burst + limit * T / per` pass, counted over all workers. Who is over a limit gets 429 with `Retry-After`;
//! every answer has `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10). Where `burst` is more
//! than `limit`, they tell the burst, and the time in which it is there again.
//!
//! With `[store] url` all gateways with the same store count together: those that name the policy alike, or attach it to
//! a route of the same name. The store's clock counts, in microseconds. Each request takes one round trip to it,
//! whatever the number of limits; with `lease` most take none. While the store does not answer, `on_store_error`
//! decides: with `"local"` each gateway goes on with the same limits for itself, which are full when it begins.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};
use limen_config::units;
use limen_store::{Buckets, Gone, Level, MAX_WANTS, Rate, SharedRates, Taken, Want};
use serde::Deserialize;
use serde_json::Value;

use super::amount::{
    By, Cost, Decision, Fields, Keys, Missing, NoKey, OnStoreError, Part, Scope, Standing, seconds, unknown,
};
use super::denial::Denial;
use super::settings::{SettingsError, Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, Verdict};

/// `rate-limit`: how much, and for whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `limits` (required): one to eight of them.
    limits: Vec<Limit>,
    /// `by`: what tells requests apart that are counted apart, in each limit without a `by` of its own:
    /// `"address"` (of IPv6 its first 64 bits), `"consumer"`, `"route"`, `{ header = "x-key" }`,
    /// `{ query = "key" }`, `{ claim = "tenant" }`, `{ attribute = "plan" }` (of the consumer),
    /// `{ expression = "claims.org + request.method" }` (CEL, as in `authorize`). Several
    /// parts are one key; without any, `[]`, all requests are counted together. Default `["consumer"]`.
    #[serde(default = "Part::usual")]
    by: Vec<Part>,
    /// `missing`: what becomes of a request that lacks a part of `by`, as one without a consumer: `"address"`
    /// (that stands in), `"shared"` (all such are counted together), `"pass"` (it is not counted) or `"refuse"`
    /// (403). Default `"address"`.
    #[serde(default)]
    missing: Missing,
    /// `cost`: how much a request takes, 1 to 1,000,000; or a header or an expression that says so: `{ header = "x-cost" }`,
    /// `{ expression = "..." }`, where more counts as 1,000,000, and less or what is no number as 1 (`request.size` is -1 of a
    /// body whose length is not told). Default 1.
    #[serde(default)]
    cost: Cost,
    /// `headers`: whether answers have `RateLimit` and `RateLimit-Policy`. Default `true`.
    #[serde(default = "yes")]
    headers: bool,
    /// `scope`: `"shared"` with the gateways that have the same `[store] url`, if there is one, or `"gateway"`: each
    /// for itself. Default `"shared"`.
    #[serde(default)]
    scope: Scope,
    /// `on_store_error`: what becomes of requests while the store does not answer: `"local"` (each gateway
    /// counts for itself) or `"refuse"` (503). Default `"local"`.
    #[serde(default)]
    on_store_error: OnStoreError,
    /// `lease`: how much a gateway takes from the store ahead, so that as many requests need no round trip, 0 to
    /// 100,000. Never more passes than without: what is not used within a tenth of the burst's time, or a
    /// second, is thrown away, and the burst is smaller by what comes in during that time. Default 0.
    #[serde(default)]
    lease: u64,
    /// `keys`: how many keys are held, 1,000 to 10,000,000; a key of a limit takes some 50 bytes. One more
    /// takes the place of those that have all of their limit left, and if there are none, of the tenth that
    /// is nearest to that. Default 100,000.
    #[serde(default = "keys")]
    keys: usize,
}

/// `limits`: one of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// `limit` (required): how many in `per`, 1 to 1,000,000,000.
    limit: u64,
    /// `per` (required): in what time, `"1ms"` to `"31d"`.
    per: Span,
    /// `burst`: how many may come at once after a pause, 1 to 1,000,000,000. Default: as many as `limit`.
    burst: Option<u64>,
    /// `by`: in place of the policy's.
    by: Option<Vec<Part>>,
    /// `name`: what clients and the log read. Default: its `per`, like "1m".
    name: Option<String>,
}

const MAX_LIMIT: u64 = 1_000_000_000;
const MAX_LEASE: u64 = 100_000;
const PERIODS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(31 * 24 * 60 * 60);
const KEYS: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;

fn yes() -> bool {
    true
}

fn keys() -> usize {
    100_000
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let Settings { limits, by, missing, cost, headers, scope, on_store_error, lease, keys } = read(settings)?;
    if limits.is_empty() || limits.len() > MAX_WANTS {
        return Err(SettingsError::new("/limits", format!("expected 1 to {MAX_WANTS} of them")));
    }
    if !KEYS.contains(&keys) {
        return Err(SettingsError::new("/keys", "expected a number from 1000 to 10000000"));
    }
    let cost = cost.check()?;
    let mut rules = Vec::new();
    for (at, limit) in limits.iter().enumerate() {
        let rule = limit.rule(&by, missing).map_err(|error| error.under(&format!("/limits/{at}")))?;
        if rule.burst < cost.least() {
            let (cost, burst) = (cost.least(), rule.burst);
            let message = format!("no request ever passes: one costs {cost}, and the burst is {burst}");
            return Err(SettingsError::new(&format!("/limits/{at}"), message));
        }
        rules.push(rule);
    }
    let fields = Fields::new(rules.iter().map(|rule| (&*rule.name, rule.most(), rule.window())));
    let fields = fields.map_err(|error| error.under("/limits"))?;
    if lease > MAX_LEASE {
        return Err(SettingsError::new("/lease", format!("expected a number from 0 to {MAX_LEASE}")));
    }
    if let Some(rule) = rules.iter().find(|rule| lease > 0 && rule.rate.leased_burst() < cost.least()) {
        let message = format!("the burst of `{}` is too small to take something ahead", rule.name);
        return Err(SettingsError::new("/lease", message));
    }
    let shared = scope.store(materials).map(|store| {
        // After a reload it may be another store.
        let new = || Arc::new(SharedRates::new(store.clone()));
        let rates = materials.kept_if(|known: &SharedRates| known.are_in(store), new);
        Shared { rates, whose: materials.name.to_owned(), lease, on_store_error }
    });
    let buckets = materials.kept(|| Buckets::new(keys));
    buckets.resize(keys);
    Ok(Box::new(RateLimit { rules, cost, fields: headers.then_some(fields), buckets, shared }))
}

impl Limit {
    fn rule(&self, by: &[Part], missing: Missing) -> Result<Rule, SettingsError> {
        let number = |pointer: &str, value: u64| match (1..=MAX_LIMIT).contains(&value) {
            true => Ok(value),
            false => Err(SettingsError::new(pointer, format!("expected a number from 1 to {MAX_LIMIT}"))),
        };
        let limit = number("/limit", self.limit)?;
        let burst = number("/burst", self.burst.unwrap_or(limit))?;
        let Span(per) = self.per;
        let rate = Rate::new(limit, per, burst).filter(|_| PERIODS.contains(&per));
        let rate = rate.ok_or_else(|| SettingsError::new("/per", "expected a time from 1ms to 31d"))?;
        let name = self.name.clone().unwrap_or_else(|| units::show_duration(per));
        let by = By { parts: self.by.clone().unwrap_or_else(|| by.to_vec()), missing };
        Ok(Rule { name, limit, burst, per, rate, by })
    }
}

struct RateLimit {
    rules: Vec<Rule>,
    cost: Cost,
    /// None: answers don't tell.
    fields: Option<Fields>,
    buckets: Arc<Buckets>,
    /// None: this gateway counts for itself.
    shared: Option<Shared>,
}

/// How gateways count together.
struct Shared {
    rates: Arc<SharedRates>,
    /// The policy's name, as the other gateways have it too.
    whose: String,
    lease: u64,
    on_store_error: OnStoreError,
}

/// One limit.
struct Rule {
    name: String,
    limit: u64,
    burst: u64,
    per: Duration,
    rate: Rate,
    by: By,
}

impl Rule {
    /// How many clients are told of: never fewer than they may have left.
    fn most(&self) -> u64 {
        self.limit.max(self.burst)
    }

    /// The time in which as many come again; none that can't be told.
    fn window(&self) -> Option<Duration> {
        if self.burst <= self.limit {
            return Some(self.per);
        }
        let nanos =
            self.per.as_nanos().checked_mul(u128::from(self.burst))?.checked_div(u128::from(self.limit))?;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

impl Policy for RateLimit {
    fn phases(&self) -> Phases {
        let phases = Phases::default().with(Phase::Request);
        if self.fields.is_some() { phases.with(Phase::Response) } else { phases }
    }

    fn looks_back(&self) -> bool {
        false
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        if phase == Phase::Response {
            self.tell(exchange, seat);
            return Answer::Ready(Ok(Verdict::Next));
        }
        let wants = match self.wants(exchange) {
            Ok(wants) => wants,
            Err(NoKey::Pass) => return Answer::Ready(Ok(Verdict::Next)),
            Err(NoKey::Refuse) => return NoKey::denial().answer(exchange),
        };
        let cost = self.cost.of(exchange);
        match &self.shared {
            None => Answer::Ready(self.settle(self.buckets.take(&wants, cost), exchange, seat)),
            Some(shared) if !shared.rates.is_up() => {
                Answer::Ready(self.without_store(shared, &wants, cost, exchange, seat))
            }
            Some(shared) => Answer::Wait(Box::pin(async move {
                match shared.take(&wants, cost).await {
                    Ok(taken) => self.settle(taken, exchange, seat),
                    Err(Gone) => self.without_store(shared, &wants, cost, exchange, seat),
                }
            })),
        }
    }
}

impl Shared {
    async fn take(&self, wants: &[Want], cost: u64) -> Result<Taken, Gone> {
        match self.lease {
            0 => self.rates.take(wants, cost).await,
            lease => self.rates.take_leased(wants, cost, lease).await,
        }
    }
}

impl RateLimit {
    /// What is to be taken from.
    fn wants(&self, exchange: &Exchange) -> Result<Vec<Want>, NoKey> {
        let wants = self.rules.iter().map(|rule| {
            let keys = match &self.shared {
                None => Keys::Own(self.buckets.hasher()),
                Some(shared) => Keys::Shared { whose: &shared.whose },
            };
            Ok(Want { key: rule.by.key(exchange, &rule.name, keys)?, rate: rule.rate })
        });
        wants.collect()
    }

    /// Lets it pass, or not.
    fn settle(&self, taken: Taken, exchange: &mut Exchange, seat: &mut Seat) -> Decision {
        let verdict = if taken.allowed { Ok(Verdict::Next) } else { self.refuse(&taken.levels, exchange) };
        if self.fields.is_some() {
            *seat = Some(Box::new(taken));
        }
        verdict
    }

    fn without_store(
        &self,
        shared: &Shared,
        wants: &[Want],
        cost: u64,
        exchange: &mut Exchange,
        seat: &mut Seat,
    ) -> Decision {
        match shared.on_store_error {
            OnStoreError::Local => self.settle(self.buckets.take(wants, cost), exchange, seat),
            OnStoreError::Refuse => unknown().stage(exchange),
        }
    }

    fn refuse(&self, levels: &[Level], exchange: &mut Exchange) -> Decision {
        let over = || self.rules.iter().zip(levels).filter(|(_, level)| !level.allowed);
        let names: Vec<_> = over().map(|(rule, _)| format!("`{}`", rule.name)).collect();
        let why = format!("over the limit {}", names.join(" and "));
        let status = StatusCode::TOO_MANY_REQUESTS;
        let denial = Denial::new(status, "rate_limited", "Too many requests.", why);
        // Of one that costs more than a burst nobody can say when it may pass.
        let wait: Option<Vec<_>> = over().map(|(_, level)| level.wait).collect();
        match wait.and_then(|waits| waits.into_iter().max()) {
            Some(wait) => {
                denial.header(header::RETRY_AFTER, HeaderValue::from(seconds(wait))).stage(exchange)
            }
            None => denial.stage(exchange),
        }
    }

    fn tell(&self, exchange: &mut Exchange, seat: &mut Seat) {
        let taken = seat.take().and_then(|seat| seat.downcast::<Taken>().ok());
        let Some((fields, taken)) = self.fields.as_ref().zip(taken) else { return };
        let standings =
            taken.levels.iter().map(|level| Standing { remaining: level.remaining, full: level.full });
        fields.tell(standings, exchange);
    }
}
