//! One after another, each as often as its weight says.

use std::cell::Cell;

use crate::upstream::endpoint::EndpointId;
use crate::upstream::shared::EndpointSet;

/// Whose turn it is on one worker.
pub struct RoundRobin(Cell<usize>);

impl RoundRobin {
    pub fn new(start: usize) -> Self {
        RoundRobin(Cell::new(start))
    }

    pub fn pick(&self, set: &EndpointSet, tried: &[EndpointId]) -> Option<usize> {
        let turn = self.0.get();
        self.0.set(turn.wrapping_add(1));
        set.at_slot(turn, tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::set;

    #[test]
    fn everyone_has_a_turn_and_nobody_two() {
        let set = set("\"round-robin\"", &[1, 1, 1]);
        let ids: Vec<_> = set.endpoints.iter().map(|endpoint| endpoint.id).collect();
        let turns = RoundRobin::new(1);
        let picked: Vec<_> = (0..4).map(|_| turns.pick(&set, &[])).collect();
        assert_eq!(picked, [Some(1), Some(2), Some(0), Some(1)]);
        assert_eq!(turns.pick(&set, &[ids[2]]), Some(0));
        assert_eq!(turns.pick(&set, &ids), None);
        assert_eq!(turns.pick(&EndpointSet::default(), &[]), None);
    }

    #[test]
    fn weights_are_turns() {
        let set = set("\"round-robin\"", &[3, 1]);
        let turns = RoundRobin::new(0);
        let picked: Vec<_> = (0..8).filter_map(|_| turns.pick(&set, &[])).collect();
        assert_eq!(picked, [0, 0, 1, 0, 0, 0, 1, 0]);
    }
}
