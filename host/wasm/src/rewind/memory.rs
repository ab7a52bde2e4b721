//! An isolate's memory, put back page by page.

use std::ops::Range;

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
    pub(crate) fn blank(bytes: usize) -> Self {
        StartPages(std::iter::repeat_with(|| None).take(bytes / PAGE).collect())
    }

    /// Puts data there; whether it fits.
    pub(crate) fn put(&mut self, mut at: usize, mut data: &[u8]) -> bool {
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

/// What is known of the memory of one isolate.
#[derive(Default)]
pub(crate) struct Memory {
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
    /// Makes the contents what they were at the start.
    ///
    /// They are where they were the time before, and as long; and this is the thread on which all calls of the
    /// isolate ran.
    pub(crate) fn rewind(&mut self, contents: &mut [u8], start: &StartPages, kernel: &Kernel) -> Rewound {
        let base = contents.as_ptr().addr();
        if contents.len() != start.bytes() || !base.is_multiple_of(PAGE) {
            return Rewound::No;
        }
        let now = faults();
        let known = self.faults == Some(now);
        self.until_audit = self.until_audit.saturating_sub(1);
        if !known || self.until_audit == 0 {
            let before = if known { std::mem::take(&mut self.written) } else { Vec::new() };
            if kernel.written(base, contents.len() / PAGE, &mut self.written).is_err() {
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
        for page in self.written.iter().cloned().flatten() {
            let Some(now) = contents.get_mut(page * PAGE..(page + 1) * PAGE) else { return Rewound::No };
            match start.0.get(page).and_then(Option::as_deref) {
                Some(before) => now.copy_from_slice(before),
                None => now.fill(0),
            }
        }
        Rewound::Yes
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
        let mut memory = Memory::default();
        for round in 0..3 {
            for at in [0, 7 * PAGE + 2, 8 * PAGE, (50 + round) * PAGE, 100 * PAGE - 1] {
                contents[at] = 0xff;
            }
            std::hint::black_box(&mut *contents);
            assert_eq!(memory.rewind(contents, &start, &kernel), Rewound::Yes);
            let expected = |at: usize| match at.checked_sub(7 * PAGE + 1) {
                Some(at @ 0..5) => b"image"[at],
                _ => 0,
            };
            assert!(contents.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
        }
    }
}
