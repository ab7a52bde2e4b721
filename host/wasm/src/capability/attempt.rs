//! `attempt`: where a request is about to go.

use super::bindings::limen::policy::attempt;
use crate::state::State;

impl attempt::Host for State {
    fn number(&mut self) -> u32 {
        self.exchange.attempt().map_or(0, |attempt| attempt.number)
    }

    fn endpoint(&mut self) -> Option<String> {
        self.exchange.attempt().map(|attempt| attempt.endpoint.clone())
    }
}
