//! `code_cache` of `[gateway]`

use std::path::PathBuf;

use crate::section::section;
use crate::units::{GIB, MIB};
use crate::value::{path, size};

section! {
    /// `code_cache = { folder = "/var/cache/limen", size = "1GiB" }` of `[gateway]`: compiled components are
    /// kept on disk by what they were compiled from, so that the next start need not compile them again, and
    /// so is what came from registries, so that it needs none of them.
    /// The memory that `configure` of a policy leaves is not among it, for it may hold secrets of its settings: each start
    /// makes it anew, in some 0.3 s of computing for each plugin and settings.
    /// Read at start. What can't be used (damaged, of another version) is made anew; without a folder of
    /// its own the gateway runs all the same, and says so.
    #[derive(PartialEq, Eq)]
    pub struct CodeCache(section) {
        /// `folder`: where. It is made if it is not there, and must belong to the gateway's user and be open
        /// to nobody else: what lies there is run. Default: `$CACHE_DIRECTORY` (systemd's
        /// `CacheDirectory=`), else `limen` in `$XDG_CACHE_HOME`, else `~/.cache/limen`.
        pub folder: Option<PathBuf> = section.optional("folder", |value| path(value, "the path of a folder")),

        /// `size`: what was not used for the longest time is removed beyond that. 16MiB to 1024GiB, or 0 to
        /// keep nothing; default 1GiB.
        pub size: u64 = section.or("size", kept, GIB),
    }
}

/// What it is without a word about it.
impl Default for CodeCache {
    fn default() -> Self {
        CodeCache { folder: None, size: GIB }
    }
}

fn kept(value: &crate::value::Value<'_>) -> Option<u64> {
    let kept = size(0..=1024 * GIB)(value)?;
    if kept > 0 && kept < 16 * MIB {
        return value.fail(value.error("too little to keep anything").expected("at least 16MiB, or 0"));
    }
    Some(kept)
}
