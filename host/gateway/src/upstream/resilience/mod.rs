//! What an upstream does about trouble: limits, a circuit breaker, retries, hedges, a fallback. None of
//! it is on the way of an upstream that has none of it configured.

mod breaker;
mod budget;
mod counts;
mod fallback;
mod hedge;
mod original;
mod permit;
mod replay;
mod retry;
mod slots;
mod tally;

use std::sync::Arc;
use std::time::Instant;

use limen_config::{Retries, Trouble, Upstream as Terms};

use crate::observe::Attempts;
use crate::pipeline::Tries;
use crate::refusal::Fault;

use super::attempt::{Course, Failed};
use super::{Answer, Outgoing, Upstream};

pub use breaker::Phase;
pub use counts::{Counted, Counts};
pub use permit::Permit;
pub use replay::Reader;
pub use slots::Slots;

use breaker::{Breaker, Open};
use budget::{Budget, Spending};
use fallback::Fallback;
use original::Original;
use permit::Permits;

/// What all workers share of it. An upstream of the same name finds its state again after a reload.
pub struct Resilience {
    /// What a request may be sent again for; without `retries`, none but what `hedge` and `fallback` need.
    retries: Retries,
    budget: Arc<Budget>,
    breaker: Option<Arc<Breaker>>,
    permits: Option<Arc<Permits>>,
    fallback: Option<Fallback>,
}

/// How an upstream is at one moment, for those who look on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its circuit breaker, if it has one.
    pub breaker: Option<Phase>,
    /// How often that has opened.
    pub openings: u64,
    /// Requests under way, where they are limited.
    pub in_flight: Option<usize>,
    /// Requests that wait for their turn.
    pub waiting: usize,
}

impl Resilience {
    /// None if nothing of it is configured. `previous` is that of the same upstream before a reload.
    pub fn new(terms: &Terms, previous: Option<&Resilience>) -> Option<Self> {
        let Terms { timeout, retries, hedge, limits, breaker, fallback, .. } = terms;
        let off = retries.is_none() && hedge.is_none() && limits.requests.is_none() && breaker.is_none();
        if off && fallback.is_none() && timeout.total.is_none() {
            return None;
        }
        let now = Instant::now();
        let retries = retries.clone().unwrap_or_else(Retries::never);
        let same_budget = previous.map(|previous| previous.budget.clone());
        let same_budget = same_budget.filter(|budget| budget.terms() == retries.budget);
        let budget = same_budget.unwrap_or_else(|| Arc::new(Budget::new(retries.budget, now)));
        let breaker = breaker.map(|terms| {
            let same = previous.and_then(|previous| previous.breaker.clone());
            let same = same.filter(|breaker| breaker.terms() == terms);
            same.unwrap_or_else(|| Arc::new(Breaker::new(terms, now)))
        });
        let permits = limits.requests.map(|most| {
            let same = previous.and_then(|previous| previous.permits.clone());
            let permits = same.unwrap_or_else(|| Arc::new(Permits::new(most, limits.queue)));
            permits.set(most, limits.queue);
            permits
        });
        let fallback = fallback.as_ref().map(Fallback::new);
        Some(Resilience { retries, budget, breaker, permits, fallback })
    }

    /// How it is now.
    pub fn standing(&self) -> Standing {
        let (breaker, permits) = (self.breaker.as_ref(), self.permits.as_ref());
        Standing {
            breaker: breaker.map(|breaker| breaker.phase()),
            openings: breaker.map(|breaker| breaker.openings()).unwrap_or_default(),
            in_flight: permits.map(|permits| permits.taken()),
            waiting: permits.map(|permits| permits.waiting()).unwrap_or_default(),
        }
    }

    /// Whether a request may be sent again because its connection turned out to be closed. It counts as no
    /// try, but within the budget of those.
    pub fn may_repeat(&self, counts: &Counts) -> bool {
        let refused = self.retries.max > 0 && self.budget.spend(Instant::now()) == Spending::Refused;
        if refused {
            counts.retry_refused();
        }
        !refused
    }

    /// Whether a request may be sent a second time.
    fn repeats(&self, terms: &Terms) -> bool {
        self.retries.max > 0
            || terms.hedge.is_some()
            || self.fallback.as_ref().is_some_and(Fallback::is_upstream)
    }
}

/// Sends a request with all that the upstream has configured.
pub async fn send(upstream: &Upstream, on: &Resilience, outgoing: Outgoing<'_>) -> Result<Answer, Fault> {
    let Outgoing { request, client, attempts, tries, others } = outgoing;
    let terms = &upstream.shared.terms;
    let begun = Instant::now();
    let upload = request.body().upload();
    let original = match on.repeats(terms) {
        true => Original::keeping(request, &on.retries),
        false => Original::once(request),
    };
    let exchange = Exchange { upstream, on, client, attempts, tries, original };
    let answered = match terms.timeout.total {
        None => exchange.answered().await,
        Some(limit) => tokio::time::timeout(limit, exchange.answered()).await.unwrap_or_else(|_| {
            upstream.counts().timed_out();
            if upload.is_none_or(|upload| upload.is_done()) {
                exchange.given_up();
            }
            let reason = format!("no response within {limit:?}, all tries together");
            Err(Failed::new(Trouble::Timeout, Fault::upstream_slow(reason)))
        }),
    };
    let mut answer = match (&on.fallback, answered) {
        (Some(fallback), answered) => fallback.stand_in(&exchange, answered, others).await?,
        (None, answered) => answered.map_err(|failed| failed.fault)?,
    };
    exchange.original.keep_no_more();
    if let Some(limit) = terms.timeout.total {
        answer.body.end_by(begun + limit, limit);
    }
    Ok(answer)
}

/// A request on its way to this upstream.
struct Exchange<'a> {
    upstream: &'a Upstream,
    on: &'a Resilience,
    client: &'a limen_policy::Client,
    attempts: Option<Attempts<'a>>,
    tries: Option<&'a Tries>,
    original: Original,
}

impl Exchange<'_> {
    /// Waits for its turn, then tries.
    async fn answered(&self) -> Result<Answer, Box<Failed>> {
        if let Some(open) = self.is_turned_away() {
            return Err(self.turned_away(open));
        }
        let permit = match &self.on.permits {
            None => None,
            Some(permits) => Some(self.turn(permits).await?),
        };
        let mut answer = retry::until_answered(self).await?;
        if let Some(permit) = permit {
            answer.body.hold(permit);
        }
        Ok(answer)
    }

    /// The right to be under way.
    async fn turn(&self, permits: &Arc<Permits>) -> Result<Permit, Box<Failed>> {
        if let Some(permit) = permits.try_acquire() {
            return Ok(permit);
        }
        let limits = &self.upstream.shared.terms.limits;
        let counts = self.upstream.counts();
        counts.queued();
        let most = limits.requests.unwrap_or_default();
        let reason = match tokio::time::timeout(limits.queue_wait, permits.acquire()).await {
            Ok(Ok(permit)) => return Ok(permit),
            Ok(Err(_)) => format!("{most} requests are under way, and {} wait", limits.queue),
            Err(_) => format!("{most} requests are under way, and none ended within {:?}", limits.queue_wait),
        };
        counts.overloaded();
        Err(Failed::new(Trouble::Overload, Fault::upstream_overloaded(reason)))
    }

    /// All its time is over: the breaker learns of it, if the upstream had the request.
    fn given_up(&self) {
        let Some(breaker) = self.on.breaker.as_ref().filter(|_| self.original.is_seen()) else { return };
        let now = Instant::now();
        if let Ok(admission) = breaker.admit(now) {
            admission.tell(self.upstream.number, now, breaker::Outcome::Bad);
        }
    }

    fn is_turned_away(&self) -> Option<Open> {
        self.on.breaker.as_ref()?.turns_away(Instant::now())
    }

    fn turned_away(&self, Open(left): Open) -> Box<Failed> {
        self.upstream.counts().turned_away();
        Failed::new(Trouble::Open, Fault::circuit_open(left))
    }

    /// One try, or several at the same time.
    async fn one_try(&self, course: &Course) -> Result<Answer, Box<Failed>> {
        let Some(request) = self.original.next() else {
            return Err(Failed::new(Trouble::Reset, Fault::upstream_broken("the request is used up")));
        };
        let upload = request.body().upload();
        let attempt = self.upstream.attempt(request, self.client, self.attempts, self.tries, course);
        let Some(limit) = self.on.retries.per_try else { return attempt.await };
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            self.upstream.counts().timed_out();
            if upload.is_none_or(|upload| upload.is_done()) {
                self.upstream.blame(course);
            }
            let reason = format!("no response within {limit:?}, the limit of one try");
            Err(Failed::new(Trouble::Timeout, Fault::upstream_slow(reason)))
        })
    }
}
