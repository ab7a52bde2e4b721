//! `config`: the settings of this attachment.

use super::bindings::limen::policy::config;
use crate::state::State;

impl config::Host for State {
    fn json(&mut self) -> String {
        self.grounds.settings.json.clone()
    }

    fn text(&mut self, pointer: String) -> Option<String> {
        self.grounds.settings.value.pointer(&pointer)?.as_str().map(str::to_owned)
    }

    fn integer(&mut self, pointer: String) -> Option<i64> {
        self.grounds.settings.value.pointer(&pointer)?.as_i64()
    }

    fn number(&mut self, pointer: String) -> Option<f64> {
        self.grounds.settings.value.pointer(&pointer)?.as_f64()
    }

    fn boolean(&mut self, pointer: String) -> Option<bool> {
        self.grounds.settings.value.pointer(&pointer)?.as_bool()
    }
}
