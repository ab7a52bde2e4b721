//! `bag`: what policies leave for themselves and for one another.

use bytes::Bytes;

use super::bindings::limen::policy::bag;
use crate::state::State;

impl bag::Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        let value = self.exchange.bag.get(&key)?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    }

    fn get_bytes(&mut self, key: String) -> Option<Vec<u8>> {
        self.exchange.bag.get(&key).map(|value| value.to_vec())
    }

    fn put(&mut self, key: String, value: String) -> bool {
        self.exchange.put(&key, Bytes::from(value))
    }

    fn put_bytes(&mut self, key: String, value: Vec<u8>) -> bool {
        self.exchange.put(&key, Bytes::from(value))
    }
}
