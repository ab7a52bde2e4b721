//! A cache by its name, as operators see it: what it counts, and how it is purged.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::counts::{Counts, Reading};
use super::key::Keys;
use super::store::Store;

/// All stores of one policy. There is one of each size and key that is still in use: while a reload is under
/// way that changes them, two.
#[derive(Default)]
pub struct Shelf {
    counts: Arc<Counts>,
    stores: Mutex<Vec<Weak<Stored>>>,
}

/// A store and how its keys are made.
pub struct Stored {
    pub keys: Keys,
    pub store: Store,
    pub counts: Arc<Counts>,
    variants: usize,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// `https://api.example.com/a?b=c`; without a scheme: of both.
    Url(String),
    /// All that begin so.
    Prefix(String),
    /// What its response has called so, in `Cache-Tag` or `Surrogate-Key`.
    Tag(String),
    All,
}

impl Shelf {
    /// The store that is such, or a new one.
    pub(super) fn store(&self, size: u64, variants: usize, keys: Keys) -> Arc<Stored> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|store| store.strong_count() > 0);
        let is_same = |known: &Arc<Stored>| {
            known.store.size == size && known.variants == variants && known.keys == keys
        };
        if let Some(known) = stores.iter().filter_map(Weak::upgrade).find(is_same) {
            return known;
        }
        let store = Store::new(size, variants, self.counts.clone());
        let new = Arc::new(Stored { keys, store, counts: self.counts.clone(), variants });
        stores.push(Arc::downgrade(&new));
        new
    }

    fn stores(&self) -> Vec<Arc<Stored>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Forgets it at once, for all workers; answers how many responses that were.
    pub fn purge(&self, purge: &Purge) -> usize {
        self.stores().iter().map(|stored| stored.purge(purge)).sum()
    }

    pub fn read(&self) -> Reading {
        let mut reading = self.counts.read();
        for stored in self.stores() {
            let (urls, bytes) = stored.store.extent();
            reading.urls += urls;
            reading.bytes += bytes;
            reading.size += stored.store.size;
        }
        reading
    }
}

impl Stored {
    fn purge(&self, purge: &Purge) -> usize {
        match purge {
            Purge::All => self.store.purge(|_, _| true),
            Purge::Tag(tag) => self.store.purge(|_, entry| entry.tags.iter().any(|known| **known == **tag)),
            Purge::Prefix(prefix) => {
                let spelt = spellings(prefix);
                self.store.purge(|url, _| spelt.iter().any(|spelt| url.starts_with(&**spelt)))
            }
            Purge::Url(url) => {
                let spelt: Vec<_> = spellings(url).iter().map(|url| self.respell(url)).collect();
                self.store.purge(|url, _| spelt.iter().any(|spelt| *spelt == *url))
            }
        }
    }

    /// As the keys of this one have it.
    fn respell(&self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let (host, path) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        self.keys.spell(scheme, host, if path.is_empty() { "/" } else { path }, query)
    }
}

/// A URL with its scheme and host as keys have them; one without a scheme is of both.
fn spellings(url: &str) -> Vec<String> {
    let lower = |scheme: &str, rest: &str| {
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let own = if scheme == "https" { ":443" } else { ":80" };
        format!("{scheme}://{}{path}", host.strip_suffix(own).unwrap_or(host).to_ascii_lowercase())
    };
    match url.split_once("://") {
        Some((scheme, rest)) => vec![lower(&scheme.to_ascii_lowercase(), rest)],
        None => ["http", "https"].map(|scheme| lower(scheme, url)).into(),
    }
}
