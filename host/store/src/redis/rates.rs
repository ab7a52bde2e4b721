//! Rates that gateways share.
//!
//! The server counts, by its own clock, all rates of a request in one round trip. With leases most requests need
//! none: a gateway takes a batch ahead, and lets requests pass until it is used up. What was taken ahead is thrown away
//! after a while, a tenth of what the burst stands for and a second at most; and the burst is smaller by what comes in
//! during that time. So what passes late, in the worst case, is no more than what was left out: in any
//! stretch of time no more passes than without leases.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, MutexGuard};
use std::time::{Duration, Instant};

use redis::{Script, Value};

use super::{Gone, Redis, Use, What};
use crate::rate::shards::Shards;
use crate::rate::{Level, Rate, Taken, Want, nanos};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rates.lua")));

/// The longest that something is held which was taken ahead.
const HOLD: Duration = Duration::from_secs(1);
/// Leases that are held at most. Who has none asks for each request.
const LEASES: usize = 100_000;

/// The way to rates that are kept in a [`Redis`].
#[derive(Debug)]
pub struct SharedRates {
    redis: Arc<Redis>,
    leases: Shards<Leases>,
}

type Leases = HashMap<u128, Lease>;

/// What was taken ahead for the rates of some requests, or that there is nothing to take.
#[derive(Debug)]
struct Lease {
    tokens: u64,
    until: Instant,
    /// Somebody is asking for the next one.
    is_asked_for: bool,
    /// As the server told them last.
    levels: Vec<Level>,
    told: Instant,
    /// What cost this much, or more, was refused.
    refused: Option<u64>,
}

impl SharedRates {
    pub fn new(redis: Arc<Redis>) -> Self {
        SharedRates { redis, leases: Shards::default() }
    }

    /// Whether they are kept there.
    pub fn are_in(&self, redis: &Arc<Redis>) -> bool {
        Arc::ptr_eq(&self.redis, redis)
    }

    /// Whether the server can be asked; for who asks it if so.
    pub fn is_up(&self) -> bool {
        self.redis.can_be_asked(Use::RateLimit)
    }

    /// Takes from all of these rates, or from none, in one round trip.
    pub async fn take(&self, wants: &[Want], cost: u64) -> Result<Taken, Gone> {
        let (granted, levels) = self.ask(wants, cost, cost).await?;
        Ok(Taken { allowed: granted >= cost, levels })
    }

    /// The same out of a lease of so much, without a round trip as long as it lasts.
    pub async fn take_leased(&self, wants: &[Want], cost: u64, batch: u64) -> Result<Taken, Gone> {
        // Keys are hashes: what becomes of several is one as well.
        let key = wants.iter().fold(0, |sum: u128, want| sum.rotate_left(11) ^ want.key);
        let asking = match self.draw(key, cost) {
            Drawn::Taken(taken) => return Ok(taken),
            Drawn::Nothing => None,
            Drawn::Ask(asking) => Some(asking),
        };
        let most = if asking.is_some() { cost.saturating_add(batch) } else { cost };
        let eased: Vec<_> = wants.iter().map(|want| Want { rate: want.rate.eased(), ..*want }).collect();
        let hold = wants.iter().map(|want| want.rate.hold()).min().unwrap_or_default();
        let asked = Instant::now();
        let (granted, levels) = self.ask(&eased, cost, most).await?;
        if asking.is_some() {
            let lease = Lease {
                tokens: granted.saturating_sub(cost),
                until: asked + hold,
                is_asked_for: false,
                levels: levels.clone(),
                told: asked,
                refused: (granted < cost).then_some(cost),
            };
            if let Some(mut leases) = self.lock(key) {
                leases.insert(key, lease);
            }
        }
        Ok(Taken { allowed: granted >= cost, levels })
    }

    /// Looks for it in a lease.
    fn draw(&self, key: u128, cost: u64) -> Drawn<'_> {
        let Some(mut leases) = self.lock(key) else { return Drawn::Nothing };
        let now = Instant::now();
        if let Some(lease) = leases.get_mut(&key) {
            if let Some(taken) = lease.take(cost, now) {
                return Drawn::Taken(taken);
            }
            if lease.is_asked_for {
                return Drawn::Nothing;
            }
            lease.is_asked_for = true;
        } else {
            if leases.len() >= LEASES / Shards::<Leases>::COUNT {
                leases.retain(|_, lease| lease.is_asked_for || lease.is_of_use(now));
            }
            if leases.len() >= LEASES / Shards::<Leases>::COUNT {
                return Drawn::Nothing;
            }
            leases.insert(key, Lease::asked_for(now));
        }
        Drawn::Ask(Asking { rates: self, key })
    }

    /// What the server grants, and how the rates stand then.
    async fn ask(&self, wants: &[Want], least: u64, most: u64) -> Result<(u64, Vec<Level>), Gone> {
        let mut call = SCRIPT.prepare_invoke();
        call.arg(least).arg(most);
        for Want { key, rate } in wants {
            call.key(format!("{}rate:{key:032x}", self.redis.prefix));
            call.arg(rate.interval).arg(rate.tolerance / 1000);
        }
        let answer = self.redis.ask(Use::RateLimit, What::Script(call)).await?;
        let Value::Array(numbers) = answer else { return Err(Gone) };
        let mut numbers = numbers.into_iter().map(|number| match number {
            Value::Int(number) => u64::try_from(number).map_err(|_| Gone),
            _ => Err(Gone),
        });
        let granted = numbers.next().unwrap_or(Err(Gone))?;
        let ahead: Vec<u64> = numbers.collect::<Result<_, _>>()?;
        let levels = wants.iter().zip(ahead).map(|(want, ahead)| {
            let ahead = ahead.saturating_mul(1000);
            let step = want.rate.step(ahead, 0, least);
            Level {
                allowed: granted >= least || step.allowed,
                remaining: want.rate.remaining(ahead, 0),
                full: Duration::from_nanos(ahead),
                wait: step.wait.map(Duration::from_nanos),
            }
        });
        Ok((granted, levels.collect()))
    }

    fn lock(&self, key: u128) -> Option<MutexGuard<'_, Leases>> {
        self.leases.lock(Shards::<Leases>::number(key))
    }
}

/// What was found in a lease.
enum Drawn<'a> {
    Taken(Taken),
    /// There is none, and somebody else asks for one.
    Nothing,
    Ask(Asking<'a>),
}

/// Asking for a lease; dropped, another one may.
struct Asking<'a> {
    rates: &'a SharedRates,
    key: u128,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(mut leases) = self.rates.lock(self.key)
            && let Some(lease) = leases.get_mut(&self.key)
        {
            lease.is_asked_for = false;
        }
    }
}

impl Lease {
    fn asked_for(now: Instant) -> Self {
        Lease { tokens: 0, until: now, is_asked_for: true, levels: Vec::new(), told: now, refused: None }
    }

    fn is_of_use(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.told);
        let refuses =
            self.refused.is_some() && self.levels.iter().any(|level| !level.later(since, 0).allowed);
        refuses || (self.tokens > 0 && now < self.until)
    }

    /// Takes out of it, or knows that nothing can be taken anywhere.
    fn take(&mut self, cost: u64, now: Instant) -> Option<Taken> {
        let since = now.saturating_duration_since(self.told);
        if now < self.until && self.tokens >= cost {
            self.tokens -= cost;
            let levels = self.levels.iter().map(|level| level.later(since, self.tokens)).collect();
            return Some(Taken { allowed: true, levels });
        }
        if self.refused.is_some_and(|refused| cost >= refused) {
            let levels: Vec<_> = self.levels.iter().map(|level| level.later(since, 0)).collect();
            if levels.iter().any(|level| !level.allowed) {
                return Some(Taken { allowed: false, levels });
            }
            self.refused = None;
        }
        None
    }
}

impl Level {
    /// How it stands after some time, with so much at hand that was taken ahead.
    fn later(self, since: Duration, tokens: u64) -> Level {
        let wait = self.wait.map(|wait| wait.saturating_sub(since));
        Level {
            allowed: self.allowed || wait.is_some_and(|wait| wait.is_zero()),
            remaining: self.remaining.saturating_add(tokens),
            full: self.full.saturating_sub(since),
            wait,
        }
    }
}

impl Rate {
    /// How many may come at once where something is taken ahead.
    pub fn leased_burst(self) -> u64 {
        self.eased().remaining(0, 0)
    }

    /// How long something may be held that was taken ahead.
    fn hold(self) -> Duration {
        (Duration::from_nanos(self.tolerance) / 10).min(HOLD)
    }

    /// With a burst that is smaller by what comes in during that time.
    fn eased(self) -> Rate {
        Rate { tolerance: self.tolerance.saturating_sub(nanos(self.hold())), ..self }
    }
}
