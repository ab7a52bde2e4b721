//! The settings of this attachment, read one by one: for policies that keep nothing from
//! `configure`. Most have no use for it, since `configure` gets all of them with their types.
//!
//! Pointers are JSON Pointers (RFC 6901), such as `/limits/0`. `None`: absent, or of another type.
//! Each function costs one crossing.

use crate::host;

/// All of them, as JSON.
pub fn json() -> String {
    host::config::json()
}

/// A string.
pub fn text(pointer: &str) -> Option<String> {
    host::config::text(pointer)
}

/// A whole number.
pub fn integer(pointer: &str) -> Option<i64> {
    host::config::integer(pointer)
}

/// A number.
pub fn number(pointer: &str) -> Option<f64> {
    host::config::number(pointer)
}

/// True or false.
pub fn boolean(pointer: &str) -> Option<bool> {
    host::config::boolean(pointer)
}
