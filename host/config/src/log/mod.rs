//! `[log]`

mod access;
mod field;

use crate::section::section;
use crate::value::choice;

pub(crate) use access::default_query;
pub use access::{AccessLog, LogOutput};
pub use field::Field;

section! {
    /// `[log]`: what the gateway tells about itself, on standard error. Only in the main file. A line is
    /// dropped, and counted, rather than waited for when whoever reads them is slow. Lines say what has
    /// happened and name the request, route, upstream, endpoint or plugin that it happened to:
    ///
    /// - error: a new configuration, component or certificate is refused and the last good one serves on; a
    ///   process that was to take over did not start; lines of the log could not be written; a panic, which is
    ///   a bug;
    /// - warn: an upstream's failure that a client was told of, or a fallback stood in for; a policy that
    ///   failed; an answer that broke off; an endpoint that is unhealthy, ejected or can't be resolved; lines
    ///   and spans that were dropped; connections that a drain cut off;
    /// - info: ready, a configuration that is live, listeners that come and go, takeovers and drains;
    ///   requests and connections that are refused for what the client did; endpoints that are healthy again or
    ///   have other addresses;
    /// - as the policy says, with the target `policy`: what policies write.
    ///
    /// Of many requests that are refused at once, and of many failures of one policy, only some have a line
    /// (`left_out` counts the others); the access log has all requests.
    pub struct Log(section) {
        /// `level`: the least important line that is written. "trace", "debug", "info" (default),
        /// "warn", "error" or "off".
        pub level: Level = section.or("level", choice(Level::CHOICES), Level::Info),

        /// `format`: "text" (default) for people, "json" for machines.
        pub format: LogFormat = section.or("format", choice(LogFormat::CHOICES), LogFormat::Text),

        /// `access`: one line for each exchange, written when its body has ended, whatever `level` says.
        /// `true`, or a table that says how; default false.
        pub access: Option<AccessLog> =
            section.or("access", |value| AccessLog::read_or_bool(value, format), None),

        /// `audit`: who has changed what and when: "stderr", "stdout", or the path of a file, to which
        /// lines are appended and which only the gateway's user may read. A line is JSON: `at`; `what`:
        /// "key.create", "key.rotate", "key.revoke" and "key.import", "config" (what started, or was loaded anew),
        /// "config.refused", "plugin" (another version is in force: `name`, `from`, `to`), "quota" (it grants something
        /// else: `name`, `from`, `to`), "quota.reset" (`quota`, `key`, and what was `used`), "cache.purge" (what, of which
        /// `caches`, and how many it were); `by`: `via`, how it came ("admin", "files" that changed, "signal", "start"),
        /// and for "admin" the `peer`, the `user` of this machine that it belongs to, and whether it brought the
        /// `token`; then what was changed, by its id. It is
        /// written when the change is made, and nobody waits in vain for a disk that is full: then the log has an
        /// error. No secret is in it. Default: none.
        pub audit: Option<LogOutput> = section.optional("audit", LogOutput::read),
    }
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

impl Level {
    const CHOICES: &[(&str, Level)] = &[
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        ("off", Level::Off),
    ];
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    const CHOICES: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
}
