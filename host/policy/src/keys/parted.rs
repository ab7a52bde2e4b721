//! A map in parts, for what is replaced rather than changed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// So many that neither their list nor one of them is long, with some 100,000 keys.
const PARTS: usize = 256;

/// A copy of it shares all parts, but those that are changed then: it costs little, however many keys there are.
#[derive(Clone, Debug)]
pub struct Parted<K, V>(Vec<Arc<HashMap<K, V>>>);

impl<K: Hash + Eq + Clone, V: Clone> Parted<K, V> {
    pub fn insert<Q: AsRef<[u8]> + ?Sized>(&mut self, key: K, value: V)
    where
        K: Borrow<Q>,
    {
        if let Some(part) = self.0.get_mut(part(key.borrow())) {
            Arc::make_mut(part).insert(key, value);
        }
    }

    pub fn remove<Q: AsRef<[u8]> + Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(part) = self.0.get_mut(part(key)) {
            Arc::make_mut(part).remove(key);
        }
    }

    pub fn get<Q: AsRef<[u8]> + Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(part(key))?.get(key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|part| part.values())
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|part| part.is_empty())
    }
}

impl<K, V> Default for Parted<K, V> {
    fn default() -> Self {
        Parted((0..PARTS).map(|_| Arc::default()).collect())
    }
}

/// Keys are random, so that anything of them will do.
fn part<Q: AsRef<[u8]> + ?Sized>(key: &Q) -> usize {
    let sum = key.as_ref().iter().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    usize::from(sum) % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_what_does_not_change() {
        let mut one = Parted::<Box<str>, u32>::default();
        for number in 0..1000 {
            one.insert::<str>(format!("key {number}").into(), number);
        }
        let mut other = one.clone();
        other.insert::<str>("key 7".into(), 70);
        other.remove("key 8");
        assert_eq!((one.get("key 7"), one.get("key 8"), one.len()), (Some(&7), Some(&8), 1000));
        assert_eq!((other.get("key 7"), other.get("key 8"), other.len()), (Some(&70), None, 999));
        let shared = one.0.iter().zip(&other.0).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, PARTS - 2);
        assert_eq!(other.values().count(), 999);
        assert!(!other.is_empty() && Parted::<Box<str>, u32>::default().is_empty());
    }
}
