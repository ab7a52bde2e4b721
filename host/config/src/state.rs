//! `[store]`

use std::path::PathBuf;
use std::time::Duration;

use crate::section::{Section, section};
use crate::value::{Value, duration, path, string};

section! {
    /// `[store]`: where policies keep what is to outlive the process, and what several gateways share.
    /// Without `url`, a gateway counts for itself, and keeps the rest in a file.
    #[derive(PartialEq, Eq)]
    pub struct State(section) {
        /// `url`: a Redis or Valkey that gateways share: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or
        /// `rediss://` for TLS. Default: none.
        pub url: Option<String> = section.optional("url", url),

        /// `timeout`: how long an answer of it may take. 1ms to 10s; default 100ms.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), USUAL_TIMEOUT),

        /// `file`: what a gateway without `url` keeps its state in. It is made if it is not there, and must
        /// belong to the gateway's user and be open to nobody else; one process has it open. It may be copied while
        /// the gateway runs. It stays where it is until the next start. Default: `state.db` in `$STATE_DIRECTORY` (systemd's
        /// `StateDirectory=`), else in `limen` in `$XDG_STATE_HOME`, else in `~/.local/state/limen`.
        pub file: Option<PathBuf> = section.optional("file", |value| path(value, "the path of a file")),
    }
}

/// What it is without a word about it.
impl Default for State {
    fn default() -> Self {
        State { url: None, timeout: USUAL_TIMEOUT, file: None }
    }
}

const USUAL_TIMEOUT: Duration = Duration::from_millis(100);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

impl State {
    pub(crate) fn of(main: &Section<'_>) -> Option<State> {
        main.table("store", |section| {
            section.pass_over_tables();
            State::read(section)
        })
    }
}

fn url(value: &Value<'_>) -> Option<String> {
    let text = string(value)?;
    if text.starts_with("redis://") || text.starts_with("rediss://") {
        return Some(text);
    }
    let error =
        value.error("not the address of a store").expected("\"redis://HOST:PORT\", or \"rediss://\" for TLS");
    value.fail(error)
}
