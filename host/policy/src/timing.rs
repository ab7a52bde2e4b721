//! When things happened in an exchange, for policies that want to know.

use std::time::{Duration, Instant};

/// Noted only on routes with a policy that asks for it.
#[derive(Clone, Debug)]
pub struct Timing {
    received: Instant,
    forwarded: Option<Instant>,
    answered: Option<Instant>,
    went: Went,
}

/// How the request got to its upstream.
#[derive(Clone, Debug, Default)]
pub struct Went {
    /// Of how many endpoints one was asked, or the same one again.
    pub attempts: u32,
    /// How long the connection took that the answer came on; none if it was there already.
    pub connect: Option<Duration>,
    /// The one that has answered, or else the last that was asked.
    pub endpoint: Option<String>,
}

impl Timing {
    /// The head of the request is there.
    pub fn begin() -> Self {
        Timing { received: Instant::now(), forwarded: None, answered: None, went: Went::default() }
    }

    /// The request goes on to the upstream.
    pub fn forward(&mut self) {
        self.forwarded = Some(Instant::now());
    }

    /// The head of the upstream's response is there.
    pub fn answer(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// The way to the upstream is over, with an answer or without.
    pub fn went(&mut self, went: Went) {
        self.went = went;
    }

    /// How it got there, once that is over.
    pub fn way(&self) -> &Went {
        &self.went
    }

    pub fn since_received(&self) -> Duration {
        self.received.elapsed()
    }

    /// From when the request went on until the head of the upstream's response was there.
    pub fn upstream(&self) -> Option<Duration> {
        self.answered?.checked_duration_since(self.forwarded?)
    }
}
