//! `consumer` and `consumer-edit`: whom the exchange is for.

use super::bindings::limen::policy::types::EditError;
use super::bindings::limen::policy::{consumer, consumer_edit};
use super::edited;
use crate::state::State;

impl consumer::Host for State {
    fn id(&mut self) -> Option<String> {
        Some(self.exchange.consumer.as_ref()?.id().to_owned())
    }

    fn attribute(&mut self, name: String) -> Option<String> {
        self.exchange.consumer.as_ref()?.attribute(&name).map(str::to_owned)
    }
}

impl consumer_edit::Host for State {
    fn set(&mut self, id: String) -> Result<(), EditError> {
        edited(self.exchange.set_consumer(&id))
    }

    fn set_attribute(&mut self, name: String, value: String) -> Result<(), EditError> {
        edited(self.exchange.set_consumer_attribute(&name, &value))
    }
}
