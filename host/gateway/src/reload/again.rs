//! What failed because somebody did not answer is tried again, though no file has changed.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// When to load again; never, unless somebody did not answer.
#[derive(Default)]
pub struct Again {
    at: Option<Instant>,
    pause: Duration,
}

impl Again {
    pub fn is_due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// What was loaded lacks something that may be there in a moment, or lacks nothing.
    pub fn note(&mut self, lacks: bool) {
        self.pause = if lacks { (self.pause * 2).clamp(FIRST, LONGEST) } else { Duration::ZERO };
        self.at = lacks.then(|| Instant::now() + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_longer_up_to_a_limit() {
        let mut again = Again::default();
        assert!(!again.is_due());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            again.note(true);
            pauses.push(again.pause.as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        again.note(false);
        assert_eq!((again.at, again.pause), (None, Duration::ZERO));
    }
}
