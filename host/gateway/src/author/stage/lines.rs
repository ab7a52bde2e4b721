//! What is written to the log while cases are played.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The lines of the log since they were last taken. There is one log in a process.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Keeps what the gateway says from `info` on, and all that policies say.
    pub fn keep() -> Self {
        let lines = Lines::default();
        let kept = lines.clone();
        let wanted = Targets::new()
            .with_default(LevelFilter::OFF)
            .with_targets([("limen", LevelFilter::INFO), ("policy", LevelFilter::TRACE)]);
        let layer = fmt::layer().with_writer(move || kept.clone()).without_time().with_ansi(false);
        // A second one, in a test, keeps nothing.
        let _ = tracing_subscriber::registry().with(layer.with_filter(wanted)).try_init();
        lines
    }

    pub fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim_start().to_owned()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
