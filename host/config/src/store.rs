//! `[store.NAME]`

use std::time::Duration;

use crate::section::{Section, section};
use crate::units::{GIB, KIB, MIB};
use crate::value::{Value, boolean, duration, size};

const TTL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 3600);

section! {
    /// `[store.NAME]`: keys and values that plugins with the grant `kv = ["NAME"]` share, in the memory of
    /// the gateway or, with `shared`, of all gateways. A key is at most 1 KiB long, a value 1 MiB. Kept over reloads
    /// and new versions of plugins, as long as a configuration names it; in memory, gone when the process ends.
    #[derive(PartialEq, Eq)]
    pub struct Store(section, name: &str, can_share: bool) {
        /// What `grants` call it.
        pub name: String = Some(name.to_owned()),

        /// `shared`: true keeps it in the Redis of `[store] url`, as strings under `limen:kv:NAME:KEY` (with another
        /// `prefix`, under that), for all gateways with a store of this name there. Each call is one round trip, and
        /// takes no longer than the `timeout` of `[store]`: then it is `timed-out`, and as long as the server is not
        /// reached, `other` at once; what the plugin makes of that is its own affair. What is dropped when the
        /// server is full is the server's (`maxmemory-policy`). In `limen policy test` and `bench` it is in memory.
        /// Default false.
        pub shared: bool = section.or("shared", |value| shared(value, can_share), false),

        /// `size`: what all keys and values together may take, with some 200 bytes for each of them. When
        /// it is full, what was not used for longest is dropped. Not with `shared`. 64KiB to 64GiB; default 64MiB.
        pub size: u64 = room(section, shared == Some(true)),

        /// `ttl`: how long a value lives that is set without a time of its own. 1ms to 8784h; default: as
        /// long as there is room.
        pub ttl: Option<Duration> = section.optional("ttl", duration(TTL)),
    }
}

fn shared(value: &Value<'_>, can_share: bool) -> Option<bool> {
    let shared = boolean(value)?;
    if shared && !can_share {
        let error = value.error("there is nothing to share it in").expected("a `url` in `[store]`");
        return value.fail(error);
    }
    Some(shared)
}

fn room(section: &Section<'_>, shared: bool) -> Option<u64> {
    const USUAL: u64 = 64 * MIB;
    if shared {
        return match section.refused("size") {
            Some(value) => value.fail(value.error("a shared store has no `size`: it is the server's")),
            None => Some(USUAL),
        };
    }
    section.or("size", size(64 * KIB..=64 * GIB), USUAL)
}
