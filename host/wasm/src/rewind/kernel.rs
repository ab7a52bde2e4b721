//! What the kernel tells of pages: which of them were written.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What a page of memory is here. Another size of page means no rewinding.
pub(crate) const PAGE: usize = 4096;
/// Pages asked for at a time.
const AT_ONCE: usize = 512;
/// Bits of an entry of the page map (Documentation/admin-guide/mm/pagemap.rst).
const OF_A_FILE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;

/// The kernel, asked about the memory of this process.
pub(crate) struct Kernel {
    pages: File,
}

impl Kernel {
    /// None where it can't be asked, or where what it answers would not be enough.
    pub(crate) fn ask() -> Option<Self> {
        let pages = File::open("/proc/self/pagemap").ok()?;
        let kernel = Kernel { pages };
        (page_size() == PAGE && no_huge_pages() && kernel.tells_of_writes()).then_some(kernel)
    }

    /// The pages of a memory that are its own: written since they were mapped from an image or from
    /// nothing. To have been read does not make them so.
    pub(crate) fn written(&self, base: usize, pages: usize, found: &mut Vec<Range<usize>>) -> io::Result<()> {
        let mut entries = [0; AT_ONCE * 8];
        found.clear();
        for start in (0..pages).step_by(AT_ONCE) {
            let count = AT_ONCE.min(pages - start);
            let entries = entries.get_mut(..count * 8).unwrap_or_default();
            self.pages.read_exact_at(entries, ((base / PAGE + start) * 8) as u64)?;
            for (at, entry) in entries.as_chunks::<8>().0.iter().enumerate() {
                let entry = u64::from_ne_bytes(*entry);
                if entry & SWAPPED == 0 && (entry & PRESENT == 0 || entry & OF_A_FILE != 0) {
                    continue;
                }
                let page = start + at;
                match found.last_mut() {
                    Some(last) if last.end == page => last.end += 1,
                    _ => found.push(page..page + 1),
                }
            }
        }
        Ok(())
    }

    /// Tries it: some sandboxes have these calls and no answers behind them.
    fn tells_of_writes(&self) -> bool {
        const TRIED: usize = 64;
        let mut memory = vec![0_u8; (TRIED + 1) * PAGE];
        let base = memory.as_ptr().addr().next_multiple_of(PAGE);
        let offset = base - memory.as_ptr().addr();
        let (before, mut found) = (faults(), Vec::new());
        for page in [3, 4, 40] {
            if let Some(byte) = memory.get_mut(offset + page * PAGE) {
                *byte = 1;
            }
        }
        let memory = std::hint::black_box(memory);
        let told = self.written(base, TRIED, &mut found).is_ok()
            && [3, 4, 40].iter().all(|page| found.iter().any(|range| range.contains(page)));
        drop(memory);
        told && faults() >= before && faults() > 0
    }
}

/// How often this thread has met a page that was not mapped, or not for what it wanted to do: whoever
/// writes a page for the first time meets it. As long as the number stays the same, no page of
/// whatever memory was written that had not been written before by this thread.
#[allow(unsafe_code, reason = "libc's call; the test below and every rewinding test need it right")]
pub(crate) fn faults() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it writes one `rusage`, for which there is room, and all zeros is one as well.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64)
}

/// Keeps the kernel from joining small pages of this process to huge ones behind its back: the pages
/// that come in that way can be written without anybody being told.
#[allow(unsafe_code, reason = "libc's call")]
fn no_huge_pages() -> bool {
    // SAFETY: this option takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 }
}

#[allow(unsafe_code, reason = "libc's call")]
fn page_size() -> usize {
    // SAFETY: it takes and gives a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_write_to_a_page_is_told() {
        let Some(kernel) = Kernel::ask() else { return };
        let mut memory = vec![0_u8; 1000 * PAGE];
        let offset = memory.as_ptr().addr().next_multiple_of(PAGE) - memory.as_ptr().addr();
        let base = memory.as_ptr().addr() + offset;
        let mut found = Vec::new();
        for page in [0, 1, 511, 512, 900] {
            let before = faults();
            memory[offset + page * PAGE] = 1;
            std::hint::black_box(&mut memory);
            assert!(faults() > before, "page {page}");
        }
        kernel.written(base, 999, &mut found).unwrap();
        assert_eq!(found, [0..2, 511..513, 900..901]);
    }
}
