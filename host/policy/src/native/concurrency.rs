//! `concurrency`: so many requests at the same time, for each client, consumer, key or whatever else tells them apart.
//!
//! ```toml
//! policies = [{ use = "concurrency", with = { limit = 10, by = ["consumer"] } }]
//! ```
//!
//! A request counts until its exchange has ended, however it ends: the last byte of the response is sent, or the client
//! is gone. Of a WebSocket that is the end of the tunnel. One too many gets 429 with `Retry-After`; where all are
//! counted together (`by = []`), 503.
//!
//! With `[store] url` all gateways with the same store count together: those that name the policy alike, or attach it to
//! a route of the same name. A request takes one round trip to it when it begins, and nobody waits for one when it ends; where
//! this gateway alone has as many under way as there may be, it takes none. What is under way is told to the store again and
//! again, so that the places of a gateway that is gone come free (`dead_after`). While the store does not answer,
//! `on_store_error` decides: with `"local"` each gateway goes on with the same limit for itself, and what is under way then is
//! counted in the store once it answers, although there may be more than the limit together.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use http::StatusCode;
use http::header::{self, HeaderValue};
use limen_store::{Entered, KeySeeds, SharedPlace, SharedPlaces};
use serde::Deserialize;
use serde_json::Value;

use super::amount::{By, Decision, Keys, Missing, NoKey, OnStoreError, Part, Scope, unknown};
use super::denial::Denial;
use super::settings::{SettingsError, Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, Verdict};

/// `concurrency`: how many at a time, and for whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `limit` (required): how many at the same time, 1 to 1,000,000.
    limit: u32,
    /// `by`: what tells requests apart that are counted apart, as in `rate-limit`. Default `["consumer"]`.
    #[serde(default = "Part::usual")]
    by: Vec<Part>,
    /// `missing`: what becomes of a request that lacks a part of `by`, as in `rate-limit`. Default `"address"`.
    #[serde(default)]
    missing: Missing,
    /// `scope`: `"shared"` or `"gateway"`, as in `rate-limit`. Default `"shared"`.
    #[serde(default)]
    scope: Scope,
    /// `on_store_error`: what becomes of requests while the store does not answer: `"local"` (each gateway counts for
    /// itself) or `"refuse"` (503). Default `"local"`.
    #[serde(default)]
    on_store_error: OnStoreError,
    /// `dead_after`: how long the store holds the places of a gateway that it does not hear from, as of one that has crashed,
    /// `"3s"` to `"10m"`. Default `"15s"`.
    #[serde(default = "quarter_of_a_minute")]
    dead_after: Span,
}

const MAX_LIMIT: u32 = 1_000_000;
const DEAD_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(10 * 60);

fn quarter_of_a_minute() -> Span {
    Span(Duration::from_secs(15))
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let Settings { limit, by, missing, scope, on_store_error, dead_after: Span(dead_after) } =
        read(settings)?;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(SettingsError::new("/limit", format!("expected a number from 1 to {MAX_LIMIT}")));
    }
    if !DEAD_AFTER.contains(&dead_after) {
        return Err(SettingsError::new("/dead_after", "expected a time from 3s to 10m"));
    }
    let shared = scope.store(materials).map(|store| {
        // After a reload it may be another store.
        let places =
            materials.kept_if(|known: &SharedPlaces| known.are_in(store), || SharedPlaces::new(store));
        places.end_after(dead_after);
        Shared { places, whose: materials.name.to_owned(), on_store_error }
    });
    let under_way = materials.kept(UnderWay::default);
    Ok(Box::new(Concurrency { limit, by: By { parts: by, missing }, under_way, shared }))
}

struct Concurrency {
    limit: u32,
    by: By,
    /// What this gateway has under way, also of what is counted elsewhere.
    under_way: Arc<UnderWay>,
    /// None: this gateway counts for itself.
    shared: Option<Shared>,
}

/// How gateways count together.
struct Shared {
    places: Arc<SharedPlaces>,
    /// The policy's name, as the other gateways have it too.
    whose: String,
    on_store_error: OnStoreError,
}

/// How many are under way, by their keys. What is at zero is not there: it is never larger than the number of
/// requests under way.
#[derive(Default)]
struct UnderWay {
    counts: DashMap<u128, u32>,
    seeds: KeySeeds,
}

/// One request that is under way; it is not any more when this is dropped.
struct Place {
    under_way: Arc<UnderWay>,
    key: u128,
}

/// The same where gateways count together.
struct BothPlaces {
    _here: Place,
    _shared: SharedPlace,
}

impl Policy for Concurrency {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn holds_on(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        let keys = match &self.shared {
            None => Keys::Own(self.under_way.seeds.hasher()),
            Some(shared) => Keys::Shared { whose: &shared.whose },
        };
        let key = match self.by.key(exchange, "", keys) {
            Ok(key) => key,
            Err(NoKey::Pass) => return Answer::Ready(Ok(Verdict::Next)),
            Err(NoKey::Refuse) => return NoKey::denial().answer(exchange),
        };
        let Some(place) = UnderWay::enter(&self.under_way, key, self.limit) else {
            return Answer::Ready(self.refuse(exchange));
        };
        match &self.shared {
            None => {
                *seat = Some(Box::new(place));
                Answer::Ready(Ok(Verdict::Next))
            }
            Some(shared) => Answer::Wait(Box::pin(async move {
                match shared.places.enter(key, self.limit).await {
                    Entered::Unknown(_) if shared.on_store_error == OnStoreError::Refuse => {
                        unknown().stage(exchange)
                    }
                    Entered::Taken(shared) | Entered::Unknown(shared) => {
                        *seat = Some(Box::new(BothPlaces { _here: place, _shared: shared }));
                        Ok(Verdict::Next)
                    }
                    Entered::Full => self.refuse(exchange),
                }
            })),
        }
    }
}

impl Concurrency {
    fn refuse(&self, exchange: &mut Exchange) -> Decision {
        let (status, detail) = match self.by.parts.is_empty() {
            true => (StatusCode::SERVICE_UNAVAILABLE, "The service has too much to do at the moment."),
            false => (StatusCode::TOO_MANY_REQUESTS, "Too many requests at the same time."),
        };
        let why = format!("{} requests are under way already", self.limit);
        Denial::new(status, "too_many_at_once", detail, why)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .stage(exchange)
    }
}

impl UnderWay {
    fn enter(this: &Arc<UnderWay>, key: u128, limit: u32) -> Option<Place> {
        match this.counts.entry(key) {
            Entry::Occupied(count) if *count.get() >= limit => return None,
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(none) => drop(none.insert(1)),
        }
        Some(Place { under_way: this.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.under_way.counts.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn ask(policy: &dyn Policy, seat: &mut Seat) -> u16 {
        let mut exchange = Box::<Exchange>::default();
        exchange.enter(Phase::Request, 0);
        drop(policy.call(Phase::Request, &mut exchange, seat));
        exchange.reply.map_or(200, |reply| reply.head.status().as_u16())
    }

    #[test]
    fn a_place_is_free_again_however_an_exchange_ends() {
        let policy = plain(build, &json!({ "limit": 2 })).unwrap();
        let [mut one, mut two, mut three] = [None, None, None];
        assert_eq!([&mut one, &mut two, &mut three].map(|seat| ask(&*policy, seat)), [200, 200, 429]);
        drop(one);
        assert_eq!(ask(&*policy, &mut three), 200, "one was dropped");
        drop(two);
        assert_eq!(ask(&*policy, &mut None), 200, "another one; and this one at once");
        assert_eq!(
            [ask(&*policy, &mut three), ask(&*policy, &mut None)],
            [200, 200],
            "one takes its own place anew"
        );
    }

    #[test]
    fn it_says_503_where_all_are_counted_together() {
        let policy = plain(build, &json!({ "limit": 1, "by": [] })).unwrap();
        let mut one = None;
        assert_eq!([ask(&*policy, &mut one), ask(&*policy, &mut None)], [200, 503]);
        for wrong in [json!({ "limit": 0 }), json!({ "limit": 1, "dead_after": "2s" })] {
            assert!(plain(build, &wrong).is_err(), "{wrong}");
        }
    }
}
