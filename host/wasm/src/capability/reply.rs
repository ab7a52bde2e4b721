//! `reply`: a response of the policy's own.

use super::bindings::limen::policy::reply;
use super::bindings::limen::policy::types::EditError;
use super::edited;
use crate::state::State;

impl reply::Host for State {
    fn start(&mut self, status: u16) -> Result<(), EditError> {
        edited(self.exchange.start_reply(status))
    }

    fn header(&mut self, name: String, value: String) -> Result<(), EditError> {
        edited(self.exchange.reply_header(&name, &value))
    }

    fn body(&mut self, data: Vec<u8>) -> Result<(), EditError> {
        edited(self.exchange.reply_body(&data))
    }
}
