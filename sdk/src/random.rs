//! Random numbers that nobody can foresee. Always granted, at the price of an import of WASI; in tests they
//! are the same in every run.
//!
//! Not in `configure`: what is drawn there is the same in every isolate.

use crate::host;

/// So many random bytes; at most 64 KiB.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    host::random::fill(&mut bytes);
    bytes
}

/// A random number.
pub fn u64() -> u64 {
    u64::from_le_bytes(bytes())
}

/// 32 random hexadecimal digits: a name for something that has none.
pub fn id() -> String {
    bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
