//! `route`: where we are in the configuration.

use super::bindings::limen::policy::route;
use crate::state::State;

impl route::Host for State {
    fn name(&mut self) -> String {
        self.exchange.route.name.clone()
    }

    fn upstream(&mut self) -> Option<String> {
        self.exchange.route.upstream.clone()
    }

    fn request_id(&mut self) -> String {
        self.exchange.id.to_string()
    }
}
