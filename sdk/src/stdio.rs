//! Standard output of a policy is the gateway's log, and it has no environment.
//!
//! Rust's standard library can always say on standard error why it panics, and asks `RUST_BACKTRACE` how
//! much to say. In a component that alone imports thirteen interfaces of WASI, to be linked again for
//! every exchange (1.5 us of 8.9 for a fresh isolate, measured), for a stream that the gateway ends in its
//! log anyway. So these two functions of the C
//! library are replaced: `eprintln!` and `println!` write to the log, line by line, and
//! the component imports nothing for it.
//!
//! A policy that needs the C library's own (for files or sockets, should they be granted one day) takes
//! the feature `wasi-stdio`.

#![allow(unsafe_code, reason = "they are the C library's `write` and `getenv`; see each block")]

use core::ffi::c_char;
use std::cell::RefCell;

use crate::{Level, host};

/// A line of at most so many bytes is kept until it ends; a longer one becomes several.
const LINE: usize = 1024;

/// The beginning of a line. An array, so that it can also say that memory has run out.
struct Line {
    bytes: [u8; LINE],
    length: usize,
}

thread_local! {
    static OUT: RefCell<Line> = const { RefCell::new(Line::new()) };
    static ERR: RefCell<Line> = const { RefCell::new(Line::new()) };
}

impl Line {
    const fn new() -> Self {
        Line { bytes: [0; LINE], length: 0 }
    }

    fn push(&mut self, bytes: &[u8], level: Level) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end(level);
                continue;
            }
            if self.length == LINE {
                self.end(level);
            }
            if let Some(next) = self.bytes.get_mut(self.length) {
                *next = *byte;
                self.length += 1;
            }
        }
    }

    fn end(&mut self, level: Level) {
        let line = self.bytes.get(..self.length).unwrap_or_default();
        if !line.is_empty() {
            host::log::write(level, &String::from_utf8_lossy(line));
        }
        self.length = 0;
    }
}

/// The C library's `write`.
///
/// SAFETY: replaces the function of that name in wasi-libc and keeps its contract: `length` bytes at
/// `bytes` can be read during the call; the answer is how many were taken, or -1. (`errno` is left: there is
/// no other descriptor that could be open.)
#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: i32, bytes: *const u8, length: usize) -> isize {
    let (line, level) = match descriptor {
        1 => (&OUT, Level::Info),
        2 => (&ERR, Level::Warn),
        _ => return -1,
    };
    if length > 0 {
        // SAFETY: the caller's promise, above.
        let bytes = unsafe { core::slice::from_raw_parts(bytes, length) };
        line.with_borrow_mut(|line| line.push(bytes, level));
    }
    length as isize
}

/// The C library's `getenv`: the gateway gives a policy no environment.
///
/// SAFETY: replaces the function of that name in wasi-libc; null says that there is no such variable.
#[unsafe(no_mangle)]
extern "C" fn getenv(_name: *const c_char) -> *mut c_char {
    core::ptr::null_mut()
}
