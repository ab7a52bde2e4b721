//! When things happened in an exchange, for policies that want to know.

use std::time::{Duration, Instant};

/// Noted only on routes with a policy that asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    received: Instant,
    forwarded: Option<Instant>,
    answered: Option<Instant>,
}

impl Timing {
    /// The head of the request is there.
    pub fn begin() -> Self {
        Timing { received: Instant::now(), forwarded: None, answered: None }
    }

    /// The request goes on to the upstream.
    pub fn forward(&mut self) {
        self.forwarded = Some(Instant::now());
    }

    /// The head of the upstream's response is there.
    pub fn answer(&mut self) {
        self.answered = Some(Instant::now());
    }

    pub fn since_received(&self) -> Duration {
        self.received.elapsed()
    }

    /// From when the request went on until the head of the upstream's response was there.
    pub fn upstream(&self) -> Option<Duration> {
        self.answered?.checked_duration_since(self.forwarded?)
    }
}
