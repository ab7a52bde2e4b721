//! One after another.

use std::cell::Cell;

pub struct RoundRobin(Cell<usize>);

impl RoundRobin {
    pub fn new(start: usize) -> Self {
        RoundRobin(Cell::new(start))
    }

    /// Whose turn it is; of those that were tried already, none.
    pub fn pick(&self, count: usize, tried: &[usize]) -> Option<usize> {
        let turn = self.0.get();
        self.0.set(turn.wrapping_add(1));
        (0..count).map(|step| turn.wrapping_add(step) % count).find(|number| !tried.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_and_nobody_two() {
        let turns = RoundRobin::new(1);
        let picked: Vec<_> = (0..4).map(|_| turns.pick(3, &[])).collect();
        assert_eq!(picked, [Some(1), Some(2), Some(0), Some(1)]);
        assert_eq!(turns.pick(3, &[2]), Some(0));
        assert_eq!(turns.pick(3, &[0, 1, 2]), None);
        assert_eq!(turns.pick(0, &[]), None);
    }
}
