//! gzip (RFC 1952), by compressors that serve one response after another: to set up one anew costs as much as it does
//! to compress a short response.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

/// How many each thread keeps that nobody uses, of up to 460 KiB each.
const KEPT: usize = 4;
/// How far back it looks, as a power of two: as far as gzip can.
const WINDOW: u8 = 15;
/// By how much the output grows when it is full, at least.
const ROOM: usize = 1024;

thread_local! {
    static IDLE: RefCell<Vec<Idle>> = const { RefCell::new(Vec::new()) };
}

struct Idle {
    level: u8,
    compress: Compress,
}

/// One response that is being compressed.
pub(super) struct Gzip {
    level: u8,
    /// None once it has been given back.
    compress: Option<Compress>,
}

impl Gzip {
    pub(super) fn new(level: u8) -> Self {
        let idle = IDLE.with_borrow_mut(|idle| {
            let at = idle.iter().position(|idle| idle.level == level)?;
            Some(idle.swap_remove(at).compress)
        });
        let compress = idle.unwrap_or_else(|| Compress::new_gzip(Compression::new(u32::from(level)), WINDOW));
        Gzip { level, compress: Some(compress) }
    }

    /// What goes on for this piece: all that is known of it by now.
    pub(super) fn encode(&mut self, data: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let Some(compress) = &mut self.compress else { return Err(io::Error::other("it has ended")) };
        let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let (mut rest, mut output) = (data, Vec::new());
        loop {
            output.reserve(ROOM.max(rest.len() / 4));
            let before = compress.total_in();
            let status = compress.compress_vec(rest, &mut output, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(compress.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            match status {
                Status::StreamEnd => break,
                // With room left there is nothing more to come.
                Status::Ok | Status::BufError
                    if !is_last && rest.is_empty() && output.len() < output.capacity() =>
                {
                    return Ok(output);
                }
                Status::Ok | Status::BufError => {}
            }
        }
        if let Some(mut compress) = self.compress.take() {
            compress.reset();
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < KEPT {
                    idle.push(Idle { level: self.level, compress });
                }
            });
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn decoded(encoded: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        GzDecoder::new(encoded).read_to_end(&mut text).unwrap();
        text
    }

    fn noise(length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect()
    }

    #[test]
    fn one_compressor_serves_one_response_after_another() {
        for length in [0, 1, 1000, 100_000] {
            for level in [1, 5, 9] {
                let text = noise(length);
                assert_eq!(decoded(&Gzip::new(level).encode(&text, true).unwrap()), text);
            }
        }
        let kept = IDLE.with_borrow(Vec::len);
        assert_eq!(kept, 3, "one of each level");
        // One that is broken off has state that nobody wants.
        let mut broken_off = Gzip::new(5);
        broken_off.encode(b"a secret of somebody", false).unwrap();
        drop(broken_off);
        assert_eq!(IDLE.with_borrow(Vec::len), kept - 1);
    }

    #[test]
    fn each_piece_can_be_read_when_it_is_there() {
        let (mut gzip, mut encoded, mut text) = (Gzip::new(5), Vec::new(), Vec::new());
        for length in [10, 3000, 1, 50_000] {
            let piece = noise(length);
            encoded.extend(gzip.encode(&piece, false).unwrap());
            text.extend(piece);
            let mut read = vec![0; text.len()];
            GzDecoder::new(&*encoded).read_exact(&mut read).unwrap();
            assert_eq!(read, text);
        }
        encoded.extend(gzip.encode(b"", true).unwrap());
        assert_eq!(decoded(&encoded), text);
        assert!(gzip.encode(b"more", true).is_err(), "it has ended");
    }
}
