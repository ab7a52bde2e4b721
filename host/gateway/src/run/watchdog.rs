//! systemd's watchdog: it is told that the gateway lives as long as every worker answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::systemd;

/// Asks every worker in turn; there is none where systemd does not ask for one.
pub struct Watchdog {
    every: Duration,
    beat: watch::Sender<u64>,
    heard: Vec<Arc<AtomicU64>>,
}

/// What one worker answers with.
pub struct Pulse {
    beats: watch::Receiver<u64>,
    heard: Arc<AtomicU64>,
}

impl Watchdog {
    pub fn new(every: Duration) -> Self {
        Watchdog { every, beat: watch::Sender::new(0), heard: Vec::new() }
    }

    /// One for each worker.
    pub fn pulse(&mut self) -> Pulse {
        let heard = Arc::<AtomicU64>::default();
        self.heard.push(heard.clone());
        Pulse { beats: self.beat.subscribe(), heard }
    }

    /// Does not end.
    pub fn watch(self) {
        for beat in 1.. {
            self.beat.send_replace(beat);
            std::thread::sleep(self.every);
            let silent = self.heard.iter().filter(|heard| heard.load(Ordering::Relaxed) != beat).count();
            if silent == 0 {
                systemd::alive();
            } else {
                tracing::warn!(
                    "{silent} workers did not answer within {:?}: systemd is not told",
                    self.every
                );
            }
        }
    }
}

impl Pulse {
    /// Answers whenever it is asked.
    pub async fn answer(mut self) {
        while self.beats.changed().await.is_ok() {
            let beat = *self.beats.borrow_and_update();
            self.heard.store(beat, Ordering::Relaxed);
        }
    }
}
