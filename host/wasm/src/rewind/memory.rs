//! An isolate's memory, put back page by page.

use std::ops::Range;
use std::ptr;

use super::kernel::{Kernel, PAGE, faults};

/// An isolate that has written more than so many pages is not kept: to copy them would cost more than a
/// new one does.
const MOST: usize = 256;
/// One in so many times the kernel is asked although nothing speaks for it, to see that it tells the
/// truth.
const AUDIT: u32 = 4096;

/// What a memory holds at the start: the image, by pages; none is a page of zeros.
#[derive(Default)]
pub(crate) struct StartPages(Vec<Option<Box<[u8; PAGE]>>>);

impl StartPages {
    /// Zeros, so many bytes of them.
    pub(super) fn blank(bytes: usize) -> Self {
        StartPages(std::iter::repeat_with(|| None).take(bytes / PAGE).collect())
    }

    /// Puts data there; whether it fits.
    pub(super) fn put(&mut self, mut at: usize, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let Some(page) = self.0.get_mut(at / PAGE) else { return false };
            let count = data.len().min(PAGE - at % PAGE);
            let (now, later) = data.split_at(count);
            if page.is_some() || now.iter().any(|byte| *byte != 0) {
                let page = page.get_or_insert_with(|| Box::new([0; PAGE]));
                let Some(room) = page.get_mut(at % PAGE..at % PAGE + count) else { return false };
                room.copy_from_slice(now);
            }
            (at, data) = (at + count, later);
        }
        true
    }

    fn bytes(&self) -> usize {
        self.0.len() * PAGE
    }
}

/// The memory of one isolate.
pub(crate) struct Memory {
    /// Its address.
    base: usize,
    /// The pages that were written since the isolate was made, in order.
    written: Vec<Range<usize>>,
    /// What [`faults`] said when these were all there were.
    faults: Option<u64>,
    until_audit: u32,
}

/// Whether a memory was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewound {
    Yes,
    /// It is too much to be worth it, or the kernel did not answer.
    No,
    /// The kernel has not told of every write: it is not to be trusted any more.
    Lied,
}

impl Memory {
    /// The memory at this address (exposed) of an instance of this image, which has written to its first
    /// page only since it was made. None if it can't be.
    pub(crate) fn at(base: usize, start: &StartPages) -> Option<Self> {
        if start.bytes() == 0 || !base.is_multiple_of(PAGE) {
            return None;
        }
        let memory = Memory { base, written: Vec::new(), faults: None, until_audit: AUDIT };
        memory.put_back(0, start);
        Some(memory)
    }

    /// Makes it what it was at the start.
    ///
    /// The isolate's instance lives, nothing of it runs, its memory has not grown, and this is the thread
    /// on which all its calls ran.
    pub(crate) fn rewind(&mut self, start: &StartPages, kernel: &Kernel) -> Rewound {
        let now = faults();
        let known = self.faults == Some(now);
        self.until_audit = self.until_audit.saturating_sub(1);
        if !known || self.until_audit == 0 {
            let before = if known { std::mem::take(&mut self.written) } else { Vec::new() };
            let pages = start.bytes() / PAGE;
            if kernel.written(self.base, pages, &mut self.written).is_err() {
                return Rewound::No;
            }
            if known && before != self.written {
                return Rewound::Lied;
            }
            self.faults = Some(now);
            self.until_audit = AUDIT;
        }
        if self.written.iter().map(ExactSizeIterator::len).sum::<usize>() > MOST {
            return Rewound::No;
        }
        for range in &self.written {
            range.clone().for_each(|page| self.put_back(page, start));
        }
        Rewound::Yes
    }

    #[allow(
        unsafe_code,
        reason = "wasmtime has no way to write a component's memory; tests in tests/it/rewind.rs"
    )]
    fn put_back(&self, page: usize, start: &StartPages) {
        let Some(contents) = start.0.get(page) else { return };
        let to = ptr::with_exposed_provenance_mut::<u8>(self.base + page * PAGE);
        // SAFETY: a memory from the pool is mapped, for reading and writing and at the same address, in
        // the whole size that it starts with for as long as its instance lives; the page is within it.
        // Nobody else refers to it: the caller has the store, and no call is under way in it.
        unsafe {
            match contents {
                Some(contents) => ptr::copy_nonoverlapping(contents.as_ptr(), to, PAGE),
                None => ptr::write_bytes(to, 0, PAGE),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_was_put() {
        let mut pages = StartPages::blank(3 * PAGE);
        assert!(pages.put(PAGE - 2, &[1, 2, 3]));
        assert!(pages.put(2 * PAGE, &[0; 100]));
        assert!(!pages.put(3 * PAGE - 1, &[7, 7]), "beyond the end");
        assert_eq!(pages.0[0].as_ref().unwrap()[PAGE - 2..], [1, 2]);
        assert_eq!(pages.0[1].as_ref().unwrap()[..2], [3, 0]);
    }

    #[test]
    fn what_was_written_is_put_back() {
        let Some(kernel) = Kernel::ask() else { return };
        let room = vec![0_u8; 101 * PAGE].leak();
        let offset = room.as_ptr().addr().next_multiple_of(PAGE) - room.as_ptr().addr();
        let contents = &mut room[offset..offset + 100 * PAGE];
        let mut start = StartPages::blank(100 * PAGE);
        assert!(start.put(7 * PAGE + 1, b"image"));
        contents[7 * PAGE + 1..7 * PAGE + 6].copy_from_slice(b"image");
        let base = contents.as_mut_ptr().expose_provenance();
        let mut memory = Memory::at(base, &start).unwrap();
        for round in 0..3 {
            for at in [0, 7 * PAGE + 2, 8 * PAGE, (50 + round) * PAGE, 100 * PAGE - 1] {
                contents[at] = 0xff;
            }
            std::hint::black_box(&mut *contents);
            assert_eq!(memory.rewind(&start, &kernel), Rewound::Yes);
            let expected = |at: usize| match at.checked_sub(7 * PAGE + 1) {
                Some(at @ 0..5) => b"image"[at],
                _ => 0,
            };
            assert!(contents.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
        }
    }
}
