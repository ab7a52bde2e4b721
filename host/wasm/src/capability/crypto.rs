//! `crypto`: hashes and comparisons that are slow or delicate in a guest.

use aws_lc_rs::{constant_time, digest, hmac};

use super::bindings::limen::policy::crypto;
use crate::state::State;

impl crypto::Host for State {
    fn sha256(&mut self, data: Vec<u8>) -> Vec<u8> {
        digest::digest(&digest::SHA256, &data).as_ref().to_vec()
    }

    fn sha512(&mut self, data: Vec<u8>) -> Vec<u8> {
        digest::digest(&digest::SHA512, &data).as_ref().to_vec()
    }

    fn hmac_sha256(&mut self, key: Vec<u8>, data: Vec<u8>) -> Vec<u8> {
        sign(hmac::HMAC_SHA256, &key, &data)
    }

    fn hmac_sha512(&mut self, key: Vec<u8>, data: Vec<u8>) -> Vec<u8> {
        sign(hmac::HMAC_SHA512, &key, &data)
    }

    fn equal(&mut self, a: Vec<u8>, b: Vec<u8>) -> bool {
        constant_time::verify_slices_are_equal(&a, &b).is_ok()
    }
}

fn sign(algorithm: hmac::Algorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
}
