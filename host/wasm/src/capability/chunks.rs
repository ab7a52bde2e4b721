//! `chunks`: what a policy forwards in the place of a chunk.

use super::bindings::limen::policy::chunks;
use super::bindings::limen::policy::types::EditError;
use super::edited;
use crate::state::State;

impl chunks::Host for State {
    fn emit(&mut self, data: Vec<u8>) -> Result<(), EditError> {
        edited(self.exchange.emit(data, self.limits.body))
    }
}
