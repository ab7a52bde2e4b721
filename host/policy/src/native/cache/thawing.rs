//! What is on the disk and not in memory comes back.

use std::sync::Arc;

use dashmap::DashMap;
use limen_store::folder::Key;
use tokio::sync::OnceCell;

use super::entry::Entry;
use super::epoch::Epoch;
use super::store::{Resource, Store};

/// What is being read, once for all who ask.
#[derive(Default)]
pub struct Thaws(DashMap<Key, Arc<OnceCell<Read>>>);

/// What the disk had of a URL, and when it was asked.
type Read = Option<(Epoch, Vec<Arc<Entry>>)>;

impl Store {
    /// Brings back what the disk has of a URL; none if that is nothing, or was invalidated meanwhile.
    pub async fn thaw(&self, url: &str) -> Option<Arc<Resource>> {
        let (disk, key) = (self.disk.as_ref()?, self.key(url));
        let cell = self.thaws.0.entry(key).or_default().clone();
        let _thaw = Thaw { thaws: &self.thaws, key, cell: &cell };
        let read = cell.get_or_init(async || {
            let epoch = self.epoch(url);
            disk.read(key, url).await.map(|entries| (epoch, entries))
        });
        let (epoch, entries) = read.await.as_ref()?;
        self.restore(url, entries, *epoch)
    }
}

/// Somebody who reads, or waits for who does; the next one reads anew.
struct Thaw<'a> {
    thaws: &'a Thaws,
    key: Key,
    cell: &'a Arc<OnceCell<Read>>,
}

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        self.thaws.0.remove_if(&self.key, |_, known| Arc::ptr_eq(known, self.cell));
    }
}
