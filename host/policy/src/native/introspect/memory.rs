//! What was said of tokens, and asking once for many.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use dashmap::DashMap;
use moka::sync::Cache;
use serde_json::Value;
use tokio::sync::Mutex;

use super::ask::Unavailable;

/// What stands for a token.
pub(super) type Mark = [u8; 32];

/// What an issuer says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Active(Arc<Value>),
    Inactive,
}

/// It outlives reloads, as long as its terms are the same.
pub(super) struct Memory {
    key: hmac::Key,
    known: Cache<Mark, Known>,
    /// Those that are being asked for.
    flights: DashMap<Mark, Arc<Flight>>,
    terms: Terms,
}

/// Who was asked, and what is remembered of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) upstream: String,
    pub(super) path: String,
    pub(super) client: Option<String>,
    pub(super) most: u64,
    pub(super) good: Duration,
    pub(super) bad: Duration,
    pub(super) max_stale: Duration,
}

/// What marks are made with; none without random numbers.
pub(super) fn key() -> Option<hmac::Key> {
    hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok()
}

#[derive(Clone)]
struct Known {
    said: Said,
    fresh_until: Instant,
}

/// One asks at a time; what came of it serves all that waited.
type Flight = Mutex<Option<(Instant, Result<Said, Unavailable>)>>;

/// A flight that is over when nobody is on it any more.
struct Aboard<'a> {
    flights: &'a DashMap<Mark, Arc<Flight>>,
    mark: &'a Mark,
    flight: Option<Arc<Flight>>,
}

impl Memory {
    pub(super) fn new(key: hmac::Key, terms: Terms) -> Self {
        let longest = terms.good.max(terms.bad) + terms.max_stale;
        let known = Cache::builder().max_capacity(terms.most).time_to_live(longest).build();
        Memory { key, known, flights: DashMap::new(), terms }
    }

    pub(super) fn is_of(&self, terms: &Terms) -> bool {
        self.terms == *terms
    }

    pub(super) fn mark(&self, token: &str) -> Mark {
        let mut mark = [0; 32];
        mark.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        mark
    }

    /// What was said not long ago.
    pub(super) fn fresh(&self, mark: &Mark) -> Option<Said> {
        self.known.get(mark).filter(|known| known.fresh_until > Instant::now()).map(|known| known.said)
    }

    /// What `asking` brings, or somebody else who asked for the same meanwhile.
    pub(super) async fn once(
        &self,
        mark: &Mark,
        asking: impl Future<Output = Result<Said, Unavailable>>,
    ) -> Result<Said, Unavailable> {
        let began = Instant::now();
        let aboard = Aboard::board(&self.flights, mark);
        let Some(flight) = &aboard.flight else { return asking.await };
        let mut last = flight.lock().await;
        if let Some((at, said)) = &*last
            && *at >= began
        {
            return said.clone();
        }
        let said = asking.await;
        let said = match said {
            Ok(said) => {
                self.keep(*mark, &said);
                Ok(said)
            }
            Err(unavailable) => self.stale(mark).ok_or(unavailable),
        };
        *last = Some((Instant::now(), said.clone()));
        said
    }

    fn keep(&self, mark: Mark, said: &Said) {
        let fresh = match said {
            Said::Inactive => self.terms.bad,
            Said::Active(claims) => match seconds(claims, "exp") {
                Some(exp) => self.terms.good.min(Duration::from_secs(exp.saturating_sub(seconds_now()))),
                None => self.terms.good,
            },
        };
        match fresh.is_zero() && self.terms.max_stale.is_zero() {
            true => self.known.invalidate(&mark),
            false => {
                self.known.insert(mark, Known { said: said.clone(), fresh_until: Instant::now() + fresh })
            }
        }
    }

    /// What was said of a good one a while ago.
    fn stale(&self, mark: &Mark) -> Option<Said> {
        let known = self.known.get(mark)?;
        let passes = matches!(known.said, Said::Active(_))
            && known.fresh_until + self.terms.max_stale > Instant::now();
        passes.then_some(known.said)
    }
}

impl<'a> Aboard<'a> {
    fn board(flights: &'a DashMap<Mark, Arc<Flight>>, mark: &'a Mark) -> Self {
        let flight = flights.entry(*mark).or_default().clone();
        Aboard { flights, mark, flight: Some(flight) }
    }
}

impl Drop for Aboard<'_> {
    fn drop(&mut self) {
        drop(self.flight.take());
        // What is left is the one of the map.
        self.flights.remove_if(self.mark, |_, flight| Arc::strong_count(flight) == 1);
    }
}

/// A moment that is told in seconds since 1970.
pub(super) fn seconds(claims: &Value, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    value.as_u64().or_else(|| value.as_f64().map(|seconds| seconds as u64))
}

pub(super) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MINUTE: Duration = Duration::from_secs(60);

    fn memory(good: Duration, max_stale: Duration) -> Memory {
        let (upstream, path) = ("idp".to_owned(), "/introspect".to_owned());
        let terms = Terms { upstream, path, client: None, most: 10, good, bad: Duration::ZERO, max_stale };
        assert!(!Memory::new(key().unwrap(), terms.clone()).is_of(&Terms { most: 11, ..terms.clone() }));
        Memory::new(key().unwrap(), terms)
    }

    fn active(exp: u64) -> Said {
        Said::Active(Arc::new(json!({ "active": true, "exp": exp })))
    }

    fn down() -> Result<Said, Unavailable> {
        Err(Unavailable("down".into()))
    }

    #[tokio::test]
    async fn many_ask_once_and_nothing_is_left_behind() {
        let memory = memory(Duration::ZERO, Duration::ZERO);
        let mark = memory.mark("token");
        let asked = AtomicUsize::new(0);
        let ask = || {
            memory.once(&mark, async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                down()
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!([a, b, c], [down(), down(), down()]);
        assert_eq!((asked.load(Ordering::Relaxed), memory.flights.len()), (1, 0));
        assert_eq!(ask().await, down());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "who comes later asks again");
    }

    #[tokio::test]
    async fn what_is_said_is_remembered_within_bounds() {
        let memory = memory(MINUTE, Duration::ZERO);
        let (good, over, bad) = (memory.mark("good"), memory.mark("over"), memory.mark("bad"));
        memory.once(&good, async { Ok(active(seconds_now() + 60)) }).await.unwrap();
        memory.once(&over, async { Ok(active(seconds_now())) }).await.unwrap();
        memory.once(&bad, async { Ok(Said::Inactive) }).await.unwrap();
        assert!(memory.fresh(&good).is_some());
        assert_eq!((memory.fresh(&over), memory.fresh(&bad)), (None, None));
    }

    #[tokio::test]
    async fn a_good_one_passes_while_nobody_answers() {
        let memory = memory(Duration::ZERO, MINUTE);
        let (good, bad) = (memory.mark("good"), memory.mark("bad"));
        memory.once(&good, async { Ok(active(seconds_now() + 60)) }).await.unwrap();
        memory.once(&bad, async { Ok(Said::Inactive) }).await.unwrap();
        assert_eq!(memory.fresh(&good), None);
        assert!(memory.once(&good, async { down() }).await.is_ok());
        assert_eq!(memory.once(&bad, async { down() }).await, down());
    }
}
