//! Values that all isolates of the plugin keep for one another, over reloads and versions of it. Needs the
//! grant `cache = true`, or `{ size = "16MiB" }`.
//!
//! Keys are the plugin's own. Beyond `size` the least recently used values go, so that anything can be gone
//! at any time. Each function costs one crossing and a copy of the value, and none waits. What a failing
//! hook put is not taken back.

use std::time::Duration;

use crate::{counters::millis, host};

/// A value; `None` if it was never put, has ended, or had to go.
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::cache::get(key)
}

/// A value as text; `None` also if it is not UTF-8.
pub fn get_text(key: &str) -> Option<String> {
    String::from_utf8(get(key)?).ok()
}

/// Put a value, in place of one that was there, for so long from now; a `ttl` of zero never ends. False:
/// the key is over 1 KiB, or both are over the cache's size.
pub fn put(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> bool {
    host::cache::put(key, value.as_ref(), millis(ttl))
}

/// Put a value unless there is one: of several isolates that ask at the same time one is answered true.
///
/// ```no_run
/// # use std::time::Duration;
/// # use limen::{cache, prelude::*};
/// # fn fetch_flags() -> Result<String> { Ok(String::new()) }
/// # fn hook() -> Result<()> {
/// if cache::add("flags: refreshing", "", Duration::from_secs(10)) {
///     cache::put("flags", fetch_flags()?, Duration::ZERO);
/// }
/// # Ok(())
/// # }
/// ```
pub fn add(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> bool {
    host::cache::add(key, value.as_ref(), millis(ttl))
}

/// Remove a value.
pub fn remove(key: &str) {
    host::cache::remove(key);
}
