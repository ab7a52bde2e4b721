//! `timing`: where the time of the exchange went.

use std::time::Duration;

use super::bindings::limen::policy::timing;
use crate::state::State;

impl timing::Host for State {
    fn since_received_us(&mut self) -> u64 {
        micros(self.exchange.timing.as_ref().map(|timing| timing.since_received()).unwrap_or_default())
    }

    fn upstream_us(&mut self) -> Option<u64> {
        self.exchange.timing.as_ref()?.upstream().map(micros)
    }

    fn connect_us(&mut self) -> Option<u64> {
        self.exchange.timing.as_ref()?.way().connect.map(micros)
    }

    fn attempts(&mut self) -> u32 {
        self.exchange.timing.as_ref().map_or(0, |timing| timing.way().attempts)
    }

    fn endpoint(&mut self) -> Option<String> {
        self.exchange.timing.as_ref()?.way().endpoint.clone()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
