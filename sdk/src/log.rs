//! Lines in the gateway's log, marked there with the policy, the route and the request:
//! `info!("key of {consumer}")`.
//!
//! One hook may write 32 lines and 16 KiB; what is beyond is dropped. A line costs two crossings, one
//! that is not wanted (its level is switched off) costs one and is not even formatted.

use std::fmt;

use crate::host;
pub use crate::types::Level;

/// Whether a line of this level would be written at all.
pub fn enabled(level: Level) -> bool {
    host::log::enabled(level)
}

/// Write a line, if its level is wanted. The macros ([`info!`](crate::info) and the like) call this.
pub fn write(level: Level, line: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    match line.as_str() {
        Some(line) => host::log::write(level, line),
        None => host::log::write(level, &line.to_string()),
    }
}

/// Write a line to the gateway's log at level `trace`.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::log::write($crate::Level::Trace, ::core::format_args!($($line)+)) };
}

/// Write a line to the gateway's log at level `debug`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log::write($crate::Level::Debug, ::core::format_args!($($line)+)) };
}

/// Write a line to the gateway's log at level `info`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log::write($crate::Level::Info, ::core::format_args!($($line)+)) };
}

/// Write a line to the gateway's log at level `warn`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log::write($crate::Level::Warn, ::core::format_args!($($line)+)) };
}

/// Write a line to the gateway's log at level `error`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log::write($crate::Level::Error, ::core::format_args!($($line)+)) };
}
