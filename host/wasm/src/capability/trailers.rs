//! `trailers`, `trailers-edit`.

use limen_policy::HeaderEdit;

use super::bindings::limen::policy::types::EditError;
use super::bindings::limen::policy::{trailers, trailers_edit};
use super::{all_values, edited, first_bytes, first_text, pack};
use crate::state::State;

impl trailers::Host for State {
    fn get(&mut self, name: String) -> Option<String> {
        first_text(self.exchange.trailers()?, &name)
    }

    fn get_bytes(&mut self, name: String) -> Option<Vec<u8>> {
        first_bytes(self.exchange.trailers()?, &name)
    }

    fn values(&mut self, name: String) -> Vec<Vec<u8>> {
        self.exchange.trailers().map(|trailers| all_values(trailers, &name)).unwrap_or_default()
    }

    fn has(&mut self, name: String) -> bool {
        self.exchange.trailers().is_some_and(|trailers| trailers.contains_key(&name))
    }

    fn packed(&mut self) -> Vec<u8> {
        match self.exchange.trailers() {
            Some(trailers) => pack(&[], trailers),
            None => pack(&[], &http::HeaderMap::new()),
        }
    }
}

impl trailers_edit::Host for State {
    fn set(&mut self, name: String, value: String) -> Result<(), EditError> {
        edited(self.exchange.edit_trailer(HeaderEdit::Set(&name, &value)))
    }

    fn add(&mut self, name: String, value: String) -> Result<(), EditError> {
        edited(self.exchange.edit_trailer(HeaderEdit::Add(&name, &value)))
    }

    fn remove(&mut self, name: String) -> Result<(), EditError> {
        edited(self.exchange.edit_trailer(HeaderEdit::Remove(&name)))
    }
}
