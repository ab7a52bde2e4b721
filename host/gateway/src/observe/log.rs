//! The log: lines on standard error.

use std::io::IsTerminal;

use limen_config::{Level, Log, LogFormat};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Starts the log. Its level and format stay as they are until the gateway is started again.
pub fn start(log: &Log) {
    let Log { level, format, access: _ } = log;
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
        .with_targets([("limen", level), ("policy", level), (super::access_log::TARGET, level)]);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, in a test, keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
}
