//! `crypto`, in full: a test's hashes are the real ones.

use sha2::{Digest, Sha256, Sha512};

pub(crate) fn sha256(data: &[u8]) -> Vec<u8> {
    Sha256::digest(data).to_vec()
}

pub(crate) fn sha512(data: &[u8]) -> Vec<u8> {
    Sha512::digest(data).to_vec()
}

pub(crate) fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::<Sha256>(64, key, data)
}

pub(crate) fn hmac_sha512(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::<Sha512>(128, key, data)
}

/// RFC 2104, here so that a policy's tests need no crate more.
fn hmac<D: Digest>(block: usize, key: &[u8], data: &[u8]) -> Vec<u8> {
    let hashed = D::digest(key);
    let key = if key.len() > block { hashed.as_slice() } else { key };
    let padded =
        |with: u8| (0..block).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = D::new().chain_update(padded(0x36)).chain_update(data).finalize();
    D::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a == b
}
