//! The property bag of the exchange: what a policy leaves for itself and for the others of the same
//! exchange.
//!
//! A key belongs to the policy that first puts it; the others can read it. One exchange holds at
//! most 64 keys and 64 KiB. Each function costs one crossing.

use crate::{Result, ensure, host};

/// `None`: absent, or not UTF-8 (then see [`get_bytes`]).
pub fn get(key: &str) -> Option<String> {
    host::bag::get(key)
}

/// `None`: absent.
pub fn get_bytes(key: &str) -> Option<Vec<u8>> {
    host::bag::get_bytes(key)
}

/// Staged like an edit of the head. Errors: the key belongs to another policy, or the bag is full.
pub fn put(key: &str, value: &str) -> Result<()> {
    ensure!(host::bag::put(key, value), "bag: `{key}` belongs to another policy, or the bag is full");
    Ok(())
}

/// As [`put`].
pub fn put_bytes(key: &str, value: &[u8]) -> Result<()> {
    ensure!(host::bag::put_bytes(key, value), "bag: `{key}` belongs to another policy, or the bag is full");
    Ok(())
}
