//! Leaves a secret wherever it can, and looks for one everywhere: `x-secret` is written all over the
//! memory, in the places that `x-where` names; `x-look`, a secret with a bit of each byte turned, is looked for in
//! each byte of the memory, and what was found is told in `x-found`.

use limen::prelude::*;

static mut STATIC: [u8; 64 << 10] = [0; 64 << 10];

struct Marks;

#[limen::policy]
impl Marks {
    fn configure() -> Result<Self> {
        Ok(Marks)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if let Some(secret) = request.header("x-secret") {
            let places = request.header("x-where").unwrap_or_default();
            for place in places.split(',') {
                match place {
                    "static" => mark_static(secret.as_bytes()),
                    "heap" => mark_heap(secret.as_bytes(), 40 << 10),
                    "stack" => mark_stack(secret.as_bytes(), 100),
                    "grown" => mark_heap(secret.as_bytes(), 1 << 20),
                    _ => {}
                }
            }
        }
        if let Some(turned) = request.header_bytes("x-look") {
            request.set_header("x-found", &found(&turned).to_string())?;
        }
        request.set_header("x-size", &size().to_string())?;
        Ok(Flow::Next)
    }

    /// In the response there is what its request left.
    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        if let Some(turned) = request.header_bytes("x-look-later") {
            response.set_header("x-found-later", &found(&turned).to_string())?;
        }
        Ok(Flow::Next)
    }
}

fn mark_static(secret: &[u8]) {
    let start = &raw mut STATIC as *mut u8;
    for at in (0..(64 << 10) - secret.len()).step_by(secret.len()) {
        for (offset, byte) in secret.iter().enumerate() {
            // SAFETY: within the array, which nobody else uses.
            unsafe { start.add(at + offset).write_volatile(*byte) };
        }
    }
}

/// Never given back.
fn mark_heap(secret: &[u8], bytes: usize) {
    let marks: Vec<u8> = secret.iter().copied().cycle().take(bytes).collect();
    std::hint::black_box(marks.leak());
}

fn mark_stack(secret: &[u8], depth: usize) {
    let mut frame = [0_u8; 256];
    for (to, from) in frame.iter_mut().zip(secret.iter().cycle()) {
        *to = *from;
    }
    std::hint::black_box(&mut frame);
    if depth > 0 {
        mark_stack(secret, depth - 1);
    }
    std::hint::black_box(&mut frame);
}

/// How often the secret stands in memory. Its own copy of what it looks for has bits turned.
fn found(turned: &[u8]) -> usize {
    if turned.is_empty() {
        return 0;
    }
    let end = (size() << 16) - turned.len();
    // Null is not read: it is as good an address as another, but not for Rust.
    (1..end).filter(|&at| (0..turned.len()).all(|offset| byte(at + offset) == turned[offset] ^ 1)).count()
}

fn byte(at: usize) -> u8 {
    // SAFETY: all of a component's memory can be read.
    unsafe { (at as *const u8).read_volatile() }
}

/// Of the memory, in pages of 64 KiB.
fn size() -> usize {
    #[cfg(target_family = "wasm")]
    return core::arch::wasm32::memory_size(0);
    #[cfg(not(target_family = "wasm"))]
    0
}
