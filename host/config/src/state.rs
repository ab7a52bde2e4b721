//! `[store]`

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::{Value, duration, path, string};

section! {
    /// `[store]`: where policies keep what is to outlive the process, and what several gateways share: API keys, the
    /// counts of `rate-limit`, `quota` and `concurrency`, and `[store.NAME]`s that are `shared`.
    #[derive(PartialEq, Eq)]
    pub struct State(section, secrets: &Unique, complete: bool) {
        /// `url`: a Redis or Valkey that gateways share: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or
        /// `rediss://` for TLS, verified against the roots that the system trusts. Without a cluster; a replica of
        /// Redis 6 or newer, to which the address may lead after a failover, is taken for one that does not answer
        /// as long as it is one. API keys are there then, so let it keep its data (`appendonly yes`), and `pepper` is
        /// required for them. Default: none.
        pub url: Option<StoreUrl> = section.optional("url", url),

        /// `prefix`: what the names of all keys there begin with, for a server with other tenants. Default
        /// `"limen:"`.
        pub prefix: String = section.or("prefix", string, USUAL_PREFIX.to_owned()),

        /// `timeout`: how long an answer of it may take. After three in a row that took longer it is not asked
        /// until it answers again. 1ms to 10s; default 100ms.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), USUAL_TIMEOUT),

        /// `pepper`: the `[secret]` that API keys are hashed with, beside those of its `previous` value. Keys
        /// that were hashed with another one are not accepted any more: with any in force the gateway does not
        /// start. Gateways that share keys have to have the same one; to replace it there, let all of them have the next
        /// value as `previous` first, and then the other way round. Default: one that is made at first use, and kept in
        /// the file.
        pub pepper: Option<String> = section.optional("pepper", |value| secrets.refer(value, "the name of a secret", complete)),

        /// `file`: what a gateway keeps API keys in, or with `url` a copy of them for when that does not answer, and
        /// quotas that it counts for itself. It is made if it is not there, and must
        /// belong to the gateway's user and be open to nobody else; one process has it open. It may be copied while
        /// the gateway runs. Beside it are `.lock`, and `.recent` with what quotas counted in the last quarter of a
        /// second: what a killed process leaves there the next one takes. It stays where it is until the next start. Default: `state.db` in `$STATE_DIRECTORY` (systemd's
        /// `StateDirectory=`), else in `limen` in `$XDG_STATE_HOME`, else in `~/.local/state/limen`.
        pub file: Option<PathBuf> = section.optional("file", |value| path(value, "the path of a file")),
    }
}

/// What it is without a word about it.
impl Default for State {
    fn default() -> Self {
        State { url: None, prefix: USUAL_PREFIX.to_owned(), timeout: USUAL_TIMEOUT, pepper: None, file: None }
    }
}

const USUAL_PREFIX: &str = "limen:";
const USUAL_TIMEOUT: Duration = Duration::from_millis(100);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

impl State {
    pub(crate) fn of(main: &Section<'_>, secrets: &Unique, complete: bool) -> Option<State> {
        main.table("store", |section| {
            section.pass_over_tables();
            State::read(section, secrets, complete)
        })
    }
}

/// Where a store is, and perhaps a password: nobody gets to print it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(..)")
    }
}

fn url(value: &Value<'_>) -> Option<StoreUrl> {
    let text = string(value)?;
    // What comes behind a `#` would switch off that certificates are verified.
    if (text.starts_with("redis://") || text.starts_with("rediss://")) && !text.contains('#') {
        return Some(StoreUrl(text));
    }
    let error =
        value.error("not the address of a store").expected("\"redis://HOST:PORT\", or \"rediss://\" for TLS");
    value.fail(error)
}
