//! `[store.NAME]`

use std::time::Duration;

use crate::section::section;
use crate::units::{GIB, KIB, MIB};
use crate::value::{duration, size};

const TTL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 3600);

section! {
    /// `[store.NAME]`: keys and values that plugins with the grant `kv = ["NAME"]` share, in the memory of
    /// the gateway. Kept over reloads and new versions of plugins, as long as a configuration names it;
    /// gone when the process ends.
    #[derive(PartialEq, Eq)]
    pub struct Store(section, name: &str) {
        /// What `grants` call it.
        pub name: String = Some(name.to_owned()),

        /// `size`: what all keys and values together may take, with some 200 bytes for each of them. When
        /// it is full, what was not used for longest is dropped. 64KiB to 64GiB; default 64MiB.
        pub size: u64 = section.or("size", size(64 * KIB..=64 * GIB), 64 * MIB),

        /// `ttl`: how long a value lives that is set without a time of its own. 1ms to 8784h; default: as
        /// long as there is room.
        pub ttl: Option<Duration> = section.optional("ttl", duration(TTL)),
    }
}
