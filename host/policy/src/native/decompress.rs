//! `decompress`: decompresses the bodies of requests, for policies behind it and for the upstream.
//!
//! ```toml
//! policies = [{ use = "decompress", with = { limit = "10MiB" } }]
//! ```
//!
//! A body with `Content-Encoding: gzip`, `br` or `zstd` goes on as it was before, piece by piece; others go
//! on as they are. One that becomes longer than `limit` is cut off with 413, so that a small body can't
//! become all of the memory of whoever reads it; what is broken gets 400, and what is encoded in another
//! way, or more than once, 415. One request under way takes up to `limit` and 16 MiB of memory.

use std::io::{self, Write};

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use zstd::stream::raw::{DParameter, Decoder as RawZstd};

use super::compress::Coding;
use super::denial::Denial;
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, FailureKind, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};

/// How far back a body may look, as a power of two: what everybody has to be able to (RFC 9659).
const WINDOW: u32 = 23;

/// What spoke of the body as it came.
const GONE: [HeaderName; 4] = [
    header::CONTENT_ENCODING,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
];

/// `decompress`: how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `limit`: the most bytes that a body may become, up to 1 GiB. Default `"10MiB"`.
    #[serde(default = "limit")]
    limit: Size,
}

fn limit() -> Size {
    Size(10 << 20)
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { limit: Size(limit) } = read(settings)?;
    if !(1..=1 << 30).contains(&limit) {
        return Err(SettingsError::new("/limit", "from 1 byte to 1 GiB"));
    }
    Ok(Box::new(Decompress { limit }))
}

struct Decompress {
    limit: u64,
}

impl Policy for Decompress {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request).with(Phase::RequestChunk)
    }

    fn recodes(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        match phase {
            Phase::Request => self.head(exchange, seat),
            _ => self.piece(exchange, seat),
        }
    }
}

impl Decompress {
    fn head(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let mut codings = exchange.request.headers().get_all(header::CONTENT_ENCODING).iter();
        let (Some(coding), more) = (codings.next(), codings.next()) else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        let name = coding.to_str().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("identity") && more.is_none() {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let known = Coding::ALL.into_iter().find(|coding| coding.is_called(name)).filter(|_| more.is_none());
        let Some(decoder) = known.and_then(|coding| Decoder::new(coding, self.limit).ok()) else {
            let why = format!("the request body is encoded as {coding:?}");
            let detail = "The request body is encoded in a way that is not known here.";
            // What could have been sent (RFC 9110, section 12.5.3).
            let known = HeaderValue::from_static("zstd, br, gzip");
            return Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", detail, why)
                .header(header::ACCEPT_ENCODING, known)
                .answer(exchange);
        };
        for name in &GONE {
            let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
        }
        if !exchange.has_request_body {
            return Answer::Ready(Ok(Verdict::Next));
        }
        *seat = Some(Box::new(decoder));
        Answer::Ready(Ok(Verdict::WantChunks))
    }

    fn piece(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let decoder = seat.as_mut().and_then(|seat| seat.downcast_mut::<Decoder>());
        let (Some(decoder), Some(chunk)) = (decoder, exchange.chunk()) else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        let data = match decoder.decode(&chunk.data, chunk.last) {
            Ok(data) => data,
            Err(error) => return self.refuse(&error, decoder.is_too_long(), exchange),
        };
        match exchange.emit(data, u64::MAX) {
            Ok(()) => Answer::Ready(Ok(Verdict::Emitted)),
            Err(error) => {
                Answer::Ready(Err(Failure::new(FailureKind::Failed, format!("can't go on: {error:?}"))))
            }
        }
    }

    fn refuse(&self, error: &io::Error, is_too_long: bool, exchange: &mut Exchange) -> Answer<'static> {
        if exchange.is_sent {
            // Whoever answers does not wait for the end of the request: it is broken off.
            let reason = format!("the request body can't be decompressed: {error}");
            return Answer::Ready(Err(Failure::new(FailureKind::Body, reason)));
        }
        let denial = if is_too_long {
            let why = format!("the request body is longer than {} bytes, decompressed", self.limit);
            Denial::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The request body is too large.",
                why,
            )
        } else {
            let why = format!("the request body can't be decompressed: {error}");
            Denial::new(
                StatusCode::BAD_REQUEST,
                "bad_encoding",
                "The request body is not encoded as it says.",
                why,
            )
        };
        denial.header(header::CONNECTION, HeaderValue::from_static("close")).answer(exchange)
    }
}

/// One body that is being decompressed.
enum Decoder {
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Br(Box<brotli::DecompressorWriter<Sink>>),
    Zstd(zstd::stream::write::Decoder<'static, Sink>),
}

/// What came out, as long as that is not too much.
struct Sink {
    data: Vec<u8>,
    left: u64,
    is_too_long: bool,
}

impl Decoder {
    fn new(coding: Coding, limit: u64) -> io::Result<Self> {
        let sink = Sink { data: Vec::new(), left: limit, is_too_long: false };
        Ok(match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink))),
            Coding::Br => Decoder::Br(Box::new(brotli::DecompressorWriter::new(sink, 4096))),
            Coding::Zstd => {
                let mut raw = RawZstd::new()?;
                raw.set_parameter(DParameter::WindowLogMax(WINDOW))?;
                Decoder::Zstd(zstd::stream::write::Decoder::with_decoder(sink, raw))
            }
        })
    }

    /// What goes on for this piece.
    fn decode(&mut self, data: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        match self {
            Decoder::Gzip(decoder) => {
                decoder.write_all(data)?;
                decoder.flush()?;
                if is_last {
                    decoder.try_finish()?;
                }
            }
            Decoder::Br(decoder) => {
                decoder.write_all(data)?;
                decoder.flush()?;
                if is_last {
                    decoder.close()?;
                }
            }
            Decoder::Zstd(decoder) => {
                decoder.write_all(data)?;
                decoder.flush()?;
                if is_last {
                    decoder.do_finish()?;
                }
            }
        }
        Ok(std::mem::take(&mut self.sink().data))
    }

    fn is_too_long(&mut self) -> bool {
        self.sink().is_too_long
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Br(decoder) => decoder.get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => {
                self.left = left;
                self.data.extend_from_slice(data);
                Ok(data.len())
            }
            None => {
                self.is_too_long = true;
                Err(io::Error::other("too long"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(coding: Coding, data: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Br => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
                encoder.write_all(data).unwrap();
                encoder.into_inner()
            }
            Coding::Zstd => zstd::stream::encode_all(data, 3).unwrap(),
        }
    }

    /// What comes out, put in by pieces of that length; or whether it was too long.
    fn decoded(coding: Coding, data: &[u8], piece: usize, limit: u64) -> Result<Vec<u8>, bool> {
        let mut decoder = Decoder::new(coding, limit).unwrap();
        let mut all = Vec::new();
        let mut pieces = data.chunks(piece.max(1)).peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            all.extend(decoder.decode(piece, last).map_err(|_| decoder.is_too_long())?);
        }
        Ok(all)
    }

    #[test]
    fn what_was_encoded_comes_out_in_pieces_of_any_length() {
        let mut chance = fastrand::Rng::with_seed(11);
        for coding in Coding::ALL {
            for length in [0usize, 1, 1000, 300_000] {
                let letters = chance.u8(1..=255);
                let data: Vec<u8> = (0..length).map(|_| chance.u8(0..letters)).collect();
                let encoded = encoded(coding, &data);
                for piece in [1, 7, 4096, encoded.len()] {
                    let out = decoded(coding, &encoded, piece, length as u64);
                    assert_eq!(out.as_ref(), Ok(&data), "{coding:?} {length} by {piece}");
                }
                if length > 0 {
                    let too_long = decoded(coding, &encoded, 4096, length as u64 - 1);
                    assert_eq!(too_long, Err(true), "{coding:?} {length}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        for coding in Coding::ALL {
            let bomb = encoded(coding, &vec![0; 64 << 20]);
            assert_eq!(decoded(coding, &bomb, bomb.len(), 1 << 20), Err(true), "{coding:?}: {}", bomb.len());
        }
    }

    #[test]
    fn what_is_broken_is_an_error() {
        let data: Vec<u8> =
            (0..50_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        for coding in Coding::ALL {
            let good = encoded(coding, &data);
            for cut in [1, good.len() / 2, good.len() - 1] {
                assert_eq!(
                    decoded(coding, &good[..cut], 4096, u64::MAX),
                    Err(false),
                    "{coding:?} cut at {cut}"
                );
            }
            assert_eq!(decoded(coding, b"this is not encoded at all", 4, u64::MAX), Err(false), "{coding:?}");
            let longer = [&good[..], b"and more"].concat();
            assert_eq!(decoded(coding, &longer, 4096, u64::MAX), Err(false), "{coding:?}");
        }
        // A window of 128 MiB is more than anybody has to keep.
        let mut raw = zstd::stream::raw::Encoder::new(1).unwrap();
        raw.set_parameter(zstd::stream::raw::CParameter::WindowLog(27)).unwrap();
        let mut encoder = zstd::stream::write::Encoder::with_encoder(Vec::new(), raw);
        encoder.write_all(&data).unwrap();
        assert_eq!(decoded(Coding::Zstd, &encoder.finish().unwrap(), 4096, u64::MAX), Err(false));
    }
}
