//! The log: lines on standard error.

use std::cell::OnceCell;
use std::io::{self, IsTerminal};
use std::time::Duration;

use limen_config::{Level, Log, LogFormat, LogOutput};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::output::{self, Output, Writer};
use super::trace;

/// How long the end of the process waits for lines to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// As long as the log is wanted; dropping it writes what is left.
pub struct Started(());

/// Starts the log. Its level and format stay as they are until the gateway is started again.
pub fn start(log: &Log) -> Started {
    let Log { level, format, access: _, audit: _ } = log;
    let level = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
        Level::Off => LevelFilter::OFF,
    };
    // What libraries say below a warning is for who works on them.
    let ours = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // They warn of what peers do wrong, each time: whoever wants to fill the log would only have to try.
        .with_targets([("h2", level.min(LevelFilter::ERROR)), ("hyper", level.min(LevelFilter::ERROR))])
        .with_targets([("limen", level), ("policy", level)]);
    let lines = fmt::layer().with_writer(|| Stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, in a test, keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
    Started(())
}

/// Waits until what was said until now is written, but not for long.
pub fn flush() {
    output::flush(FLUSH_LIMIT);
}

impl Drop for Started {
    fn drop(&mut self) {
        trace::export::flush(FLUSH_LIMIT);
        flush();
    }
}

/// Writes a line on this thread's way to standard error.
pub fn line(write: impl FnOnce(&mut Vec<u8>)) {
    thread_local! {
        static WRITER: OnceCell<Option<Writer>> = const { OnceCell::new() };
    }
    // A thread that is ending has none any more.
    let _ = WRITER.try_with(|writer| {
        let new = || Output::open(&LogOutput::Stderr).ok().map(|output| output.writer());
        if let Some(writer) = writer.get_or_init(new) {
            writer.line(write);
        }
    });
}

/// What tracing writes to: a line at a time.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        line(|lines| lines.extend_from_slice(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
