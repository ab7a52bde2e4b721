//! One address of an upstream, and how it is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use limen_config::{Outlier, Scheme};

use super::health::State;
use super::tally::Tallies;

/// An address that answers requests. All workers share it, and it outlives reloads.
pub struct Endpoint {
    pub id: EndpointId,
    pub address: Address,
    /// Its connections.
    pub connections: Tallies,
    in_flight: Alone<AtomicUsize>,
    /// Failures in a row, and answers of 500 to 599 in a row. Well endpoints are only read here.
    failures: AtomicU32,
    errors: AtomicU32,
    pub(super) counts: Counts,
    /// What only those who look after the endpoint write, and only operators read.
    state: Mutex<State>,
}

/// What has happened to it.
#[derive(Default)]
pub struct Counts {
    pub ejections: AtomicU64,
    pub checks_passed: AtomicU64,
    pub checks_failed: AtomicU64,
}

/// Tells one endpoint from every other that this process has ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u64);

/// What makes an endpoint the same one over reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub scheme: Scheme,
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// What its name was resolved to.
    pub ip: IpAddr,
    pub port: u16,
}

/// How a request went at its endpoint, as far as that tells whether the endpoint is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered(StatusCode),
    /// It took no connection, broke it off before the head of an answer, or was too slow.
    Failed,
}

/// Whether somebody should look at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Nothing,
    /// It has failed too often.
    Suspect,
}

/// A value on cache lines of its own: that it is written to disturbs nobody who reads what is beside it.
#[repr(align(128))]
#[derive(Default)]
struct Alone<T>(T);

impl Endpoint {
    /// One that gets requests as soon as it may; slow start counts from then on.
    pub fn new(address: Address) -> Self {
        Endpoint::with(address, State::default())
    }

    /// One that was there from the beginning.
    pub fn first(address: Address) -> Self {
        Endpoint::with(address, State::established())
    }

    fn with(address: Address, state: State) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Endpoint {
            id: EndpointId(COUNT.fetch_add(1, Ordering::Relaxed)),
            address,
            connections: Tallies::default(),
            in_flight: Alone::default(),
            failures: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            counts: Counts::default(),
            state: Mutex::new(state),
        }
    }

    /// How many requests are under way here, over all workers. Counted only where the way of
    /// balancing needs it.
    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    /// One more request is under way, until [`Endpoint::ended`].
    pub(super) fn began(&self) {
        self.in_flight.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.in_flight.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the outcome of a request. While all is well, nothing is written.
    pub(super) fn note(&self, outcome: Outcome, limits: &Outlier) -> Notice {
        let (failed, error) = match outcome {
            Outcome::Failed => (true, false),
            Outcome::Answered(status) => (matches!(status.as_u16(), 502..=504), status.is_server_error()),
        };
        let failures = count(&self.failures, failed);
        let errors = count(&self.errors, error);
        let is_suspect = failures >= limits.failures || limits.errors.is_some_and(|most| errors >= most);
        // The one that has just failed tells, and not each one after an ejection that was not possible.
        if (failed || error) && is_suspect { Notice::Suspect } else { Notice::Nothing }
    }

    /// Whether it has failed too often.
    pub(super) fn is_suspect(&self, limits: &Outlier) -> bool {
        let read = |counter: &AtomicU32| counter.load(Ordering::Relaxed) as usize;
        read(&self.failures) >= limits.failures
            || limits.errors.is_some_and(|most| read(&self.errors) >= most)
    }

    /// What it did until now does not count any more.
    pub(super) fn forgive(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.errors.store(0, Ordering::Relaxed);
    }

    pub(super) fn count_ejection(&self) {
        self.counts.ejections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_check(&self, result: &Result<(), String>) {
        let counter = if result.is_ok() { &self.counts.checks_passed } else { &self.counts.checks_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many there are in a row, with this one.
fn count(counter: &AtomicU32, bad: bool) -> usize {
    if bad {
        return counter.fetch_add(1, Ordering::Relaxed) as usize + 1;
    }
    if counter.load(Ordering::Relaxed) != 0 {
        counter.store(0, Ordering::Relaxed);
    }
    0
}

impl Address {
    /// Where to connect to.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// Its name and port, as a client would write them; the IP address where it has no name.
    pub fn authority(&self) -> String {
        let Address { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())?;
        // A name stands for more than one.
        if self.host.parse::<IpAddr>().is_err() { write!(f, " ({})", self.ip) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::{address, terms};

    #[test]
    fn failures_in_a_row_are_suspect() {
        let outlier = terms("outlier = { failures = 2, errors = 3 }").outlier.unwrap();
        let endpoint = Endpoint::new(address(1));
        let answered =
            |status| endpoint.note(Outcome::Answered(StatusCode::from_u16(status).unwrap()), &outlier);
        assert_eq!(endpoint.note(Outcome::Failed, &outlier), Notice::Nothing);
        assert_eq!(answered(404), Notice::Nothing);
        assert_eq!(answered(503), Notice::Nothing);
        assert_eq!(answered(500), Notice::Nothing);
        assert_eq!(answered(500), Notice::Suspect);
        assert!(endpoint.is_suspect(&outlier));
        assert_eq!(answered(200), Notice::Nothing);
        assert!(!endpoint.is_suspect(&outlier));
        assert_eq!(endpoint.note(Outcome::Failed, &outlier), Notice::Nothing);
        assert_eq!(answered(502), Notice::Suspect);
        endpoint.forgive();
        assert!(!endpoint.is_suspect(&outlier));
    }

    #[test]
    fn addresses_are_told_apart() {
        let named = Address { host: "users.internal".into(), ..address(1) };
        assert_eq!(named.to_string(), "users.internal:80 (10.0.0.1)");
        let plain = Address { host: "::1".into(), ip: "::1".parse().unwrap(), ..address(1) };
        assert_eq!(plain.to_string(), "[::1]:80");
    }
}
