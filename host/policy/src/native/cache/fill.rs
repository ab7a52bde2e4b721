//! A response on its way into the store.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use super::entry::Entry;
use super::epoch::Epoch;
use super::flight::Lead;
use super::shelf::Stored;
use crate::Tap;

/// Collects the body as it goes by. Dropped before its end, nothing is kept, and somebody else is to ask.
pub struct Fill {
    stored: Arc<Stored>,
    url: String,
    request: HeaderMap,
    epoch: Epoch,
    entry: Entry,
    lead: Option<Lead>,
    body: Vec<u8>,
    /// Of the room for bodies that are on their way.
    taken: usize,
    most: usize,
}

impl Fill {
    pub fn new(
        stored: Arc<Stored>,
        url: String,
        request: HeaderMap,
        epoch: Epoch,
        entry: Entry,
        lead: Option<Lead>,
        most: usize,
    ) -> Self {
        Fill { stored, url, request, epoch, entry, lead, body: Vec::new(), taken: 0, most }
    }
}

impl Tap for Fill {
    fn piece(&mut self, data: &Bytes) -> bool {
        let is_too_long = self.body.len() + data.len() > self.most;
        self.taken += data.len();
        if !self.stored.store.take_room(data.len()) || is_too_long {
            if is_too_long {
                let parts = &self.entry.selection.parts;
                self.stored.store.pass(&self.url, parts, None, Instant::now());
            }
            if let Some(lead) = self.lead.take() {
                lead.apart();
            }
            return false;
        }
        self.body.extend_from_slice(data);
        true
    }

    fn end(mut self: Box<Self>) {
        let mut body = std::mem::take(&mut self.body);
        // What is kept takes what it needs, and not what it grew by.
        body.shrink_to_fit();
        let entry = self.entry.with_body(Bytes::from(body));
        let entry = Arc::new(entry);
        if let Some(epoch) = self.stored.store.put(&self.url, entry.clone(), &self.request, self.epoch) {
            self.stored.counts.stored();
            self.stored.store.freeze(&self.url, &entry, epoch);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.stored.store.give_room(self.taken);
    }
}
