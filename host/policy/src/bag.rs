//! The property bag of an exchange.

use bytes::Bytes;

/// At most this many keys in one exchange.
const MAX_KEYS: usize = 64;
/// At most this many bytes of keys and values in one exchange.
const MAX_BYTES: usize = 64 * 1024;

/// What policies leave for themselves and for one another. A key belongs to the one that first puts
/// it. Few entries, so a list: nothing is allocated while it is empty.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    entries: Vec<Entry>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Box<str>,
    value: Bytes,
    owner: usize,
}

impl Bag {
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
    }

    /// Puts a value and answers the one it replaces; `Err` if the key is another's or the bag is full.
    pub(crate) fn put(&mut self, owner: usize, key: &str, value: Bytes) -> Result<Option<Bytes>, ()> {
        match self.entries.iter_mut().find(|entry| &*entry.key == key) {
            Some(entry) if entry.owner != owner => Err(()),
            Some(entry) => {
                let bytes = self.bytes - entry.value.len() + value.len();
                if bytes > MAX_BYTES {
                    return Err(());
                }
                self.bytes = bytes;
                Ok(Some(std::mem::replace(&mut entry.value, value)))
            }
            None => {
                let bytes = self.bytes + key.len() + value.len();
                if bytes > MAX_BYTES || self.entries.len() == MAX_KEYS {
                    return Err(());
                }
                self.bytes = bytes;
                self.entries.push(Entry { key: key.into(), value, owner });
                Ok(None)
            }
        }
    }

    /// Takes back a put: the value from before, or none.
    pub(crate) fn restore(&mut self, key: &str, previous: Option<Bytes>) {
        let Some(at) = self.entries.iter().position(|entry| &*entry.key == key) else { return };
        match (previous, self.entries.get_mut(at)) {
            (Some(previous), Some(entry)) => {
                self.bytes = self.bytes - entry.value.len() + previous.len();
                entry.value = previous;
            }
            _ => {
                let entry = self.entries.swap_remove(at);
                self.bytes -= entry.key.len() + entry.value.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_its_first_owner_and_the_bag_is_bounded() {
        let mut bag = Bag::default();
        assert!(bag.put(1, "a", Bytes::from_static(b"1")).is_ok());
        assert!(bag.put(2, "a", Bytes::from_static(b"2")).is_err());
        assert_eq!(bag.put(1, "a", Bytes::from_static(b"3")), Ok(Some(Bytes::from_static(b"1"))));
        assert!(bag.put(1, "b", Bytes::from(vec![0; MAX_BYTES])).is_err());
        for n in 0..MAX_KEYS - 1 {
            assert!(bag.put(1, &format!("k{n}"), Bytes::new()).is_ok());
        }
        assert!(bag.put(1, "one too many", Bytes::new()).is_err());
        bag.restore("a", None);
        assert_eq!(bag.get("a"), None);
        assert!(bag.put(2, "a", Bytes::new()).is_ok(), "what was taken back is free again");
    }
}
