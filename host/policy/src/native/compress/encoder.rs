//! The encodings: what comes in goes out at once, compressed.

use std::io::{self, Write};

use brotli::CompressorWriter;
use serde::Deserialize;
use zstd::stream::raw::{CParameter, Encoder as RawZstd};
use zstd::stream::write::Encoder as ZstdEncoder;

use super::gzip::Gzip;

/// How far back br and zstd look, as a power of two: what they keep of a response is some times as much.
/// For text of a megabyte four times as far saves two percent of the length.
const WINDOW: u32 = 18;
/// The shortest that both can have.
const SHORTEST_WINDOW: u32 = 10;

/// A content coding (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Coding {
    Zstd,
    Br,
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Br => "br",
            Coding::Gzip => "gzip",
        }
    }

    pub(crate) fn is_called(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name()) || self == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

/// One response that is being compressed.
pub(super) enum Encoder {
    Gzip(Gzip),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    /// Nothing more comes, or nothing could begin.
    Ended,
}

impl Encoder {
    /// `length` is that of the response, if it is known.
    pub(super) fn new(coding: Coding, level: u8, length: Option<u64>) -> Self {
        let window = length.map_or(WINDOW, |length| {
            let needed = u64::BITS - length.saturating_sub(1).leading_zeros();
            needed.clamp(SHORTEST_WINDOW, WINDOW)
        });
        match coding {
            Coding::Gzip => Encoder::Gzip(Gzip::new(level)),
            Coding::Br => {
                Encoder::Br(Box::new(CompressorWriter::new(Vec::new(), 4096, u32::from(level), window)))
            }
            Coding::Zstd => match zstd(i32::from(level), window) {
                Ok(encoder) => Encoder::Zstd(encoder),
                Err(_) => Encoder::Ended,
            },
        }
    }

    /// What goes on for this piece.
    pub(super) fn encode(&mut self, data: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let goes_on = match self {
            Encoder::Gzip(gzip) => return gzip.encode(data, is_last),
            Encoder::Br(encoder) => {
                through(encoder, data, is_last).map(|()| std::mem::take(encoder.get_mut()))
            }
            Encoder::Zstd(encoder) => {
                through(encoder, data, is_last).map(|()| std::mem::take(encoder.get_mut()))
            }
            Encoder::Ended => Err(io::Error::other("there is no encoder")),
        }?;
        if !is_last {
            return Ok(goes_on);
        }
        let mut rest = match std::mem::replace(self, Encoder::Ended) {
            Encoder::Br(encoder) => encoder.into_inner(),
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Gzip(_) | Encoder::Ended => Vec::new(),
        };
        if goes_on.is_empty() {
            return Ok(rest);
        }
        let mut all = goes_on;
        all.append(&mut rest);
        Ok(all)
    }
}

/// Each piece goes on as soon as it is there: whoever waits for it may not have sent the next one.
fn through(encoder: &mut impl Write, data: &[u8], is_last: bool) -> io::Result<()> {
    encoder.write_all(data)?;
    if is_last { Ok(()) } else { encoder.flush() }
}

fn zstd(level: i32, window: u32) -> io::Result<ZstdEncoder<'static, Vec<u8>>> {
    let mut raw = RawZstd::new(level)?;
    raw.set_parameter(CParameter::WindowLog(window))?;
    Ok(ZstdEncoder::with_encoder(Vec::new(), raw))
}
