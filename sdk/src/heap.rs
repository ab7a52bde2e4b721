//! The first memory of a policy's heap, so that a usual exchange never grows its memory.
//!
//! An isolate is made for every exchange. One whose memory grows while it runs costs twice as much
//! as one whose memory is all there from the start (16 us against 9, measured; worse with several
//! workers), and a crate cannot pass linker flags to those that depend on it. So room is made before
//! `configure`, of which the gateway takes the image that isolates start from, and the C library's
//! allocator, which Rust's is on this target, is given that when it asks for more memory, and only
//! then pages that the gateway has to find.
//!
//! An array would do the same and lie among the statics: those behind it would be on a page of their
//! own, which nobody's caches know when the next exchange comes.
//!
//! Nothing breaks where `sbrk` is not taken by the linker: there is then one `memory.grow`.

#![allow(unsafe_code, reason = "it is the C library's `sbrk`")]

use core::arch::wasm32::{memory_grow, memory_size};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much room is made: a multiple of what the allocator asks for at a time (64 KiB).
const ROOM: usize = 128 * 1024;

const PAGE: usize = 64 * 1024;

/// What of the room has not been handed out: from here to there. Both 0: there is none.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Makes the room, once.
pub(crate) fn reserve() {
    if END.load(Relaxed) == 0
        && let Some(start) = grow(ROOM)
    {
        NEXT.store(start, Relaxed);
        END.store(start + ROOM, Relaxed);
    }
}

/// The C library's `sbrk`: `increment` more bytes for the heap, or -1.
///
/// SAFETY: replaces the function of that name in wasi-libc, of which `malloc` is the only caller. Like
/// that one it is given whole pages, returns zeroed memory that nothing else has, and never takes
/// any back; parts need not be adjacent.
#[unsafe(no_mangle)]
extern "C" fn sbrk(increment: isize) -> *mut u8 {
    const FAILED: *mut u8 = usize::MAX as *mut u8;
    let Ok(increment) = usize::try_from(increment) else { return FAILED };
    let (next, end) = (NEXT.load(Relaxed), END.load(Relaxed));
    if increment == 0 {
        // "Where does the heap end?": `malloc` compares it with what it was given last.
        return if next < end { next } else { memory_size(0) * PAGE } as *mut u8;
    }
    if increment <= end - next {
        NEXT.store(next + increment, Relaxed);
        return next as *mut u8;
    }
    // What is left of the room is too small: it is given up.
    NEXT.store(end, Relaxed);
    grow(increment).map_or(FAILED, |start| start as *mut u8)
}

/// The address of so many new bytes.
fn grow(bytes: usize) -> Option<usize> {
    match memory_grow(0, bytes.div_ceil(PAGE)) {
        usize::MAX => None,
        before => Some(before * PAGE),
    }
}
