//! A response on its way into the store.

use std::sync::Arc;

use bytes::Bytes;

use super::entry;
use super::flight::Lead;
use super::large::{Coming, Lost, Spill};
use super::shelf::Stored;
use super::storing::Refused;
use crate::Tap;

/// Collects the body as it goes by, or sends it to the disk if it is too long to be collected. Dropped before its end,
/// nothing is kept, and somebody else is to ask.
pub struct Fill {
    coming: Arc<Coming>,
    body: Body,
    /// What is longer is too long for memory.
    longest: usize,
}

enum Body {
    Collected {
        bytes: Vec<u8>,
        room: Room,
    },
    Spilt(Spill),
    /// It is not kept.
    Lost,
}

/// Of the room for bodies that are on their way. Dropping it gives it back.
pub struct Room {
    stored: Arc<Stored>,
    bytes: usize,
}

impl Fill {
    /// `length`: of the body, if that is known.
    pub fn begin(
        coming: Coming,
        lead: &mut Option<Lead>,
        longest: usize,
        length: Option<u64>,
    ) -> Result<Self, Refused> {
        let coming = Arc::new(coming);
        let is_large = length.is_some_and(|length| length > longest as u64);
        let body = if is_large {
            Body::Spilt(Spill::begin(&coming, length, (Vec::new(), None))?)
        } else {
            let room = Room { stored: coming.stored.clone(), bytes: 0 };
            Body::Collected { bytes: Vec::new(), room }
        };
        if let Some(lead) = lead.take() {
            let _ = coming.lead.set(lead); // it is set once
        }
        if is_large {
            go_apart(&coming);
        }
        Ok(Fill { coming, body, longest })
    }

    /// What was collected goes to the disk, and what comes as well, if there is one.
    fn spill(&mut self) {
        if let Body::Collected { bytes, room } = std::mem::replace(&mut self.body, Body::Lost) {
            let head_start = (bytes, Some(room));
            if let Ok(spill) = Spill::begin(&self.coming, None, head_start) {
                self.body = Body::Spilt(spill);
            }
        }
    }

    /// It is not kept on the disk either.
    fn lose(&mut self, why: Lost) {
        self.body = Body::Lost;
        if why == Lost::Behind {
            self.coming.stored.counts.skipped();
        }
        if why != Lost::GivenUp {
            self.coming.pass(true);
        }
    }
}

impl Tap for Fill {
    fn piece(&mut self, data: &Bytes) -> bool {
        if let Body::Collected { bytes, room } = &mut self.body {
            let is_too_long = bytes.len() + data.len() > self.longest;
            if !is_too_long && room.take(data.len()) {
                bytes.extend_from_slice(data);
                return true;
            }
            self.spill();
            match self.body {
                Body::Lost if !is_too_long => part(&self.coming),
                _ => go_apart(&self.coming),
            }
        }
        let Body::Spilt(spill) = &mut self.body else { return false };
        spill.push(data).map_err(|why| self.lose(why)).is_ok()
    }

    fn is_worth_alone(&self) -> bool {
        matches!(self.body, Body::Collected { .. })
    }

    fn end(mut self: Box<Self>) {
        match std::mem::replace(&mut self.body, Body::Lost) {
            Body::Collected { mut bytes, room: _room } => {
                // What is kept takes what it needs, and not what it grew by.
                bytes.shrink_to_fit();
                let Coming { stored, url, request, epoch, entry, .. } = &*self.coming;
                let entry = Arc::new(entry.with_body(entry::Body::Here(Bytes::from(bytes))));
                if let Some(epoch) = stored.store.put(url, entry.clone(), request, *epoch) {
                    stored.counts.stored();
                    stored.store.freeze(url, &entry, epoch);
                }
            }
            Body::Spilt(spill) => {
                if let Err(why) = spill.end() {
                    self.lose(why);
                }
            }
            Body::Lost => {}
        }
    }
}

/// What is too long for memory takes too long to be waited for.
fn go_apart(coming: &Coming) {
    coming.pass(false);
    part(coming);
}

fn part(coming: &Coming) {
    if let Some(lead) = coming.lead.get() {
        lead.part();
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.stored.store.take_room(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stored.store.give_room(self.bytes);
    }
}
