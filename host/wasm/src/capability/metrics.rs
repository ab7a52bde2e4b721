//! `metrics`: what a plugin counts of its own.

use super::bindings::limen::policy::metrics;
use crate::state::State;

impl metrics::Host for State {
    fn add(&mut self, name: String, delta: u64, labels: Vec<(String, String)>) {
        if let Some(meters) = &self.grounds.meters {
            meters.add(&name, delta, &labels);
        }
    }

    fn observe(&mut self, name: String, value: f64, labels: Vec<(String, String)>) {
        if let Some(meters) = &self.grounds.meters {
            meters.observe(&name, value, &labels);
        }
    }
}
