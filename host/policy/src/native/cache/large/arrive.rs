//! The thread's side of bodies on their way to the disk.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use limen_store::folder::{Folder, Writing};

use super::super::entry::Body;
use super::super::frozen::freeze;
use super::spill::{Begin, Step};
use super::{Claim, Coming};

/// One that brings less than so many bytes in this time is given up: it keeps its place from others.
const LEAST: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Those that are being written.
#[derive(Default)]
pub struct Arrivals(HashMap<u64, Arrival>);

struct Arrival {
    claim: Claim,
    writing: Writing,
    is_lost: Arc<AtomicBool>,
    /// What it has brought since then.
    bytes: usize,
    since: Instant,
}

impl Arrivals {
    /// Does the next step of one.
    pub fn step(&mut self, number: u64, step: Step, folder: &Folder, now: Instant) -> io::Result<()> {
        match step {
            Step::Begin(begin) => {
                let Begin { claim, length, head_start: (head_start, room), is_lost } = *begin;
                let writing = begun(&claim.coming, length, &head_start, folder);
                drop((head_start, room));
                match writing {
                    Ok(Some(writing)) => {
                        self.0.insert(number, Arrival { claim, writing, is_lost, bytes: 0, since: now });
                        Ok(())
                    }
                    other => lose(&claim.coming, &is_lost, other.map(drop)),
                }
            }
            Step::Piece(piece) => {
                let Some(arrival) = self.0.remove(&number) else { return Ok(()) };
                let Arrival { claim, writing, is_lost, bytes, since } = arrival;
                match folder.write_large(writing, &piece) {
                    Ok(Some(writing)) => {
                        let bytes = bytes + piece.len();
                        let (bytes, since) = if bytes < LEAST { (bytes, since) } else { (0, now) };
                        self.0.insert(number, Arrival { claim, writing, is_lost, bytes, since });
                        Ok(())
                    }
                    other => lose(&claim.coming, &is_lost, other.map(drop)),
                }
            }
            Step::End => self.0.remove(&number).map_or(Ok(()), |arrival| arrival.finish(folder)),
            Step::Stop => {
                self.0.remove(&number);
                Ok(())
            }
        }
    }

    /// Gives up what will not be kept, whether anything comes of it or not: its file, its room and its claim are there for
    /// others.
    pub fn tend(&mut self, now: Instant) {
        let is_over = |arrival: &Arrival| {
            let is_slow = now.saturating_duration_since(arrival.since) >= PATIENCE;
            arrival.claim.coming.is_outdated() || is_slow || !arrival.writing.has_room()
        };
        let over: Vec<_> = self.0.iter().filter(|(_, it)| is_over(it)).map(|(number, _)| *number).collect();
        for arrival in over.iter().filter_map(|number| self.0.remove(number)) {
            let Arrival { claim, writing, is_lost, .. } = arrival;
            drop(writing);
            if claim.coming.is_outdated() {
                is_lost.store(true, Ordering::Relaxed);
            } else {
                let _ = lose(&claim.coming, &is_lost, Ok(())); // nothing has failed
            }
        }
    }
}

fn begun(
    coming: &Coming,
    length: Option<u64>,
    head_start: &[u8],
    folder: &Folder,
) -> io::Result<Option<Writing>> {
    let about = freeze(&coming.url, &coming.entry, Instant::now(), SystemTime::now());
    let variant = coming.entry.selection.number();
    match folder.begin_large(coming.key(), variant, &about, length)? {
        Some(writing) => folder.write_large(writing, head_start),
        None => Ok(None),
    }
}

/// There is no room for it, it is too slow, or the disk has failed.
fn lose(coming: &Coming, is_lost: &AtomicBool, why: io::Result<()>) -> io::Result<()> {
    is_lost.store(true, Ordering::Relaxed);
    coming.pass(true);
    if why.is_ok() {
        coming.stored.counts.skipped();
    }
    why
}

impl Arrival {
    /// It is all there: from now on it is found, unless it is out of date.
    fn finish(self, folder: &Folder) -> io::Result<()> {
        let Arrival { claim, writing, is_lost, .. } = self;
        let coming = &*claim.coming;
        let Coming { stored, url, request, entry, .. } = coming;
        let (store, key) = (&stored.store, coming.key());
        // Until now it was told itself what was invalidated; what is from here on ends this epoch as well.
        let epoch = store.epoch(url);
        if coming.is_outdated() {
            return Ok(());
        }
        let Some(epoch) = store.make_way(url, &entry.selection, request, epoch) else { return Ok(()) };
        let is_good = || store.epoch(url) == epoch && !coming.is_outdated();
        let place = match folder.finish_large(writing, is_good) {
            Ok(place) => place,
            Err(error) => return lose(coming, &is_lost, Err(error)),
        };
        if !is_good() {
            folder.forget(key);
            folder.sweep();
            return Ok(());
        }
        let entry = entry.with_body(Body::OnDisk(place));
        entry.frozen.set();
        let is_kept = store.set(url, Arc::new(entry), request, epoch).is_some();
        if coming.is_outdated() {
            // A newer one may have been there already.
            store.invalidate(url);
        } else if is_kept {
            stored.counts.stored();
        }
        Ok(())
    }
}
