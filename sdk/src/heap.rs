//! The first memory of a policy's heap, so that a usual exchange never grows its memory.
//!
//! An isolate is made for every exchange. One whose memory grows while it runs costs twice as much
//! as one whose memory is all there from the start (16 us against 9, measured; worse with several
//! workers), and a crate cannot pass linker flags to those that depend on it. So the C library's
//! allocator, which Rust's is on this target, gets this array first when it asks for more memory, and
//! only then pages that the gateway has to find. It is in `.bss`: it adds nothing to the component.
//!
//! Nothing breaks where this function is not taken by the linker: there is then one `memory.grow`.

#![allow(unsafe_code, reason = "it is the C library's `sbrk`; see each block")]

use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The array's length: a multiple of what the allocator asks for at a time (64 KiB).
const ARENA: usize = 128 * 1024;

const PAGE: usize = 64 * 1024;

#[repr(align(16))]
struct Arena(UnsafeCell<[u8; ARENA]>);

// SAFETY: nothing in this crate reads or writes it. Its address is handed out below, each part once.
unsafe impl Sync for Arena {}

static ARENA_BYTES: Arena = Arena(UnsafeCell::new([0; ARENA]));

/// How much of the arena has been handed out.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The C library's `sbrk`: `increment` more bytes for the heap, or -1.
///
/// SAFETY: replaces the function of that name in wasi-libc, of which `malloc` is the only caller. Like
/// that one it is given whole pages, returns zeroed memory that nothing else has, and never takes
/// any back; parts need not be adjacent.
#[unsafe(no_mangle)]
extern "C" fn sbrk(increment: isize) -> *mut u8 {
    const FAILED: *mut u8 = usize::MAX as *mut u8;
    let Ok(increment) = usize::try_from(increment) else { return FAILED };
    let used = USED.load(Ordering::Relaxed);
    if increment == 0 {
        // "Where does the heap end?": `malloc` compares it with what it was given last.
        return match used {
            ARENA.. => (memory_size(0) * PAGE) as *mut u8,
            // SAFETY: within the array.
            _ => unsafe { ARENA_BYTES.0.get().cast::<u8>().add(used) },
        };
    }
    if increment <= ARENA - used {
        USED.store(used + increment, Ordering::Relaxed);
        // SAFETY: within the array, as just checked.
        return unsafe { ARENA_BYTES.0.get().cast::<u8>().add(used) };
    }
    // What is left of the arena is too small: it is given up.
    USED.store(ARENA, Ordering::Relaxed);
    match memory_grow(0, increment.div_ceil(PAGE)) {
        usize::MAX => FAILED,
        before => (before * PAGE) as *mut u8,
    }
}
