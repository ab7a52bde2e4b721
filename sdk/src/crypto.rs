//! Hashes and comparisons that are slow or delicate in a policy; the gateway computes them. Each function
//! costs one crossing.

use crate::host;

/// 32 bytes.
pub fn sha256(data: impl AsRef<[u8]>) -> Vec<u8> {
    host::crypto::sha256(data.as_ref())
}

/// 64 bytes.
pub fn sha512(data: impl AsRef<[u8]>) -> Vec<u8> {
    host::crypto::sha512(data.as_ref())
}

/// With a key of the policy's own: 32 bytes. See [`secrets`](crate::secrets) for keys that it does not see.
pub fn hmac_sha256(key: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Vec<u8> {
    host::crypto::hmac_sha256(key.as_ref(), data.as_ref())
}

/// The same: 64 bytes.
pub fn hmac_sha512(key: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Vec<u8> {
    host::crypto::hmac_sha512(key.as_ref(), data.as_ref())
}

/// Whether both are the same. How long that takes depends on their lengths only.
pub fn equal(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    host::crypto::equal(a.as_ref(), b.as_ref())
}
