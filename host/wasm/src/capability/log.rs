//! `log`: lines in the gateway's log, so many per hook and no more.

use super::bindings::limen::policy::log;
use super::bindings::limen::policy::types::Level;
use crate::state::State;

/// Lines that one hook may write.
const MAX_LINES: u32 = 32;
/// Bytes that one hook may write.
const MAX_BYTES: usize = 16 << 10;

/// What is left of one hook's share of the log.
pub(crate) struct LogBudget {
    lines: u32,
    bytes: usize,
    told: bool,
}

/// Whether a line may be written.
pub(crate) enum Allowed {
    Yes,
    /// No, and this is the first one: say so.
    NotAnyMore,
    No,
}

impl Default for LogBudget {
    fn default() -> Self {
        LogBudget { lines: MAX_LINES, bytes: MAX_BYTES, told: false }
    }
}

impl LogBudget {
    pub(crate) fn take(&mut self, bytes: usize) -> Allowed {
        match (self.lines.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(lines), Some(bytes)) => {
                (self.lines, self.bytes) = (lines, bytes);
                Allowed::Yes
            }
            _ if self.told => Allowed::No,
            _ => {
                self.told = true;
                self.lines = 0;
                Allowed::NotAnyMore
            }
        }
    }
}

impl log::Host for State {
    fn enabled(&mut self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "policy", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "policy", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "policy", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "policy", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "policy", tracing::Level::ERROR),
        }
    }

    fn write(&mut self, level: Level, message: String) {
        // What looks like a line of the log is to be one, with its marks and within the budget.
        let mut lines = message.lines();
        while let Some(line) = lines.next() {
            if !self.write_line(level, line) {
                self.grounds.keeper.dropped(1 + lines.count());
                break;
            }
        }
        // With what there is no room for in the log it may still be told why it failed.
        if level == Level::Error && message.len() <= MAX_BYTES {
            self.last_error = Some(message);
        }
    }

    fn fail(&mut self, mut message: String) {
        message.truncate(message.floor_char_boundary(MAX_BYTES));
        self.failure = Some(message.lines().collect::<Vec<_>>().join(" "));
    }
}

impl State {
    /// Whether there may be another.
    fn write_line(&mut self, level: Level, message: &str) -> bool {
        let plugin = &**self.grounds.plugin();
        let route = &*self.exchange.route.name;
        let id = &self.exchange.id;
        match self.log.take(message.len()) {
            Allowed::No => return false,
            Allowed::NotAnyMore => {
                if let Some(left_out) = self.grounds.keeper.flooded() {
                    tracing::warn!(
                        target: "policy", plugin, route, %id, left_out,
                        "the policy wrote more than {MAX_LINES} lines or {MAX_BYTES} bytes in one hook; the rest is dropped"
                    );
                }
                return false;
            }
            Allowed::Yes if !self.grounds.keeper.may_log(message.len(), &self.grounds.limits) => return true,
            Allowed::Yes => {}
        }
        match level {
            Level::Trace => tracing::trace!(target: "policy", plugin, route, %id, "{message}"),
            Level::Debug => tracing::debug!(target: "policy", plugin, route, %id, "{message}"),
            Level::Info => tracing::info!(target: "policy", plugin, route, %id, "{message}"),
            Level::Warn => tracing::warn!(target: "policy", plugin, route, %id, "{message}"),
            Level::Error => tracing::error!(target: "policy", plugin, route, %id, "{message}"),
        }
        true
    }
}
