//! A response on its way into the store.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use super::entry::Entry;
use super::flight::Lead;
use super::shelf::Stored;
use super::store::Epoch;
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
        Fill { stored, url, request, epoch, entry, lead, body: Vec::new(), most }
    }
}

impl Tap for Fill {
    fn piece(&mut self, data: &Bytes) -> bool {
        if self.body.len() + data.len() > self.most {
            self.stored.store.pass(&self.url, &self.entry.selection.parts, None, Instant::now());
            if let Some(lead) = self.lead.take() {
                lead.apart();
            }
            return false;
        }
        self.body.extend_from_slice(data);
        true
    }

    fn end(self: Box<Self>) {
        let Fill { stored, url, request, epoch, mut entry, lead, mut body, .. } = *self;
        // What is kept takes what it needs, and not what it grew by.
        body.shrink_to_fit();
        entry.body = Bytes::from(body);
        stored.store.put(&url, Arc::new(entry), &request, epoch);
        drop(lead);
    }
}
