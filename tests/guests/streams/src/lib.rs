//! Does to bodies, piece by piece, what its settings say; tells in the log what it was given.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    request: Option<How>,
    response: Option<How>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// Every piece as it came.
    Pass,
    /// The first piece as it came, and the rest unseen.
    PassRest,
    /// Letters to upper case.
    Upper,
    /// Nothing goes on, but this at the end.
    Swallow(String),
    /// This after the end.
    Append(String),
    /// As many bytes for each piece.
    Flood(usize),
    /// An answer of its own at the piece of this number, from 0.
    ReplyAt(u32),
    FailAt(u32),
    PanicAt(u32),
}

#[derive(Default)]
struct Seen {
    pieces: u32,
    bytes: usize,
    longest: usize,
    lasts: u32,
}

struct Streams {
    config: Config,
    request: Seen,
    response: Seen,
}

impl Seen {
    fn ask(&mut self, how: Option<&How>, chunk: &Chunk) -> Result<ChunkFlow> {
        let number = self.pieces;
        self.pieces += 1;
        self.bytes += chunk.len();
        self.longest = self.longest.max(chunk.len());
        self.lasts += u32::from(chunk.is_last());
        Ok(match how {
            None | Some(How::Pass) => ChunkFlow::Pass,
            Some(How::PassRest) => ChunkFlow::PassRest,
            Some(How::Upper) => ChunkFlow::Emit(chunk.to_ascii_uppercase()),
            Some(How::Swallow(end)) if chunk.is_last() => ChunkFlow::Emit(end.as_bytes().to_vec()),
            Some(How::Swallow(_)) => ChunkFlow::Drop,
            Some(How::Append(end)) if chunk.is_last() => {
                ChunkFlow::Emit([chunk.bytes(), end.as_bytes()].concat())
            }
            Some(How::Append(_)) => ChunkFlow::Pass,
            Some(How::Flood(bytes)) => ChunkFlow::Emit(vec![b'x'; *bytes]),
            Some(How::ReplyAt(at)) if number == *at => Reply::new(418).text("no more of this\n").into(),
            Some(How::FailAt(at)) if number == *at => limen::bail!("told to fail at piece {at}"),
            Some(How::PanicAt(at)) if number == *at => panic!("asked to panic at piece {at}"),
            Some(How::ReplyAt(_) | How::FailAt(_) | How::PanicAt(_)) => ChunkFlow::Pass,
        })
    }

    fn line(&self) -> String {
        let Seen { pieces, bytes, longest, lasts } = self;
        format!("{bytes} bytes in {pieces} pieces, {longest} at most, {lasts} last")
    }
}

#[limen::policy]
impl Streams {
    fn configure(config: Config) -> Result<Self> {
        Ok(Streams { config, request: Seen::default(), response: Seen::default() })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if request.has_header("x-leave-alone") || self.config.request.is_none() {
            return Ok(Flow::Next);
        }
        Ok(Flow::WantChunks)
    }

    fn on_request_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        self.request.ask(self.config.request.as_ref(), chunk)
    }

    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        if request.has_header("x-leave-alone") || self.config.response.is_none() {
            return Ok(Flow::Next);
        }
        response.set_header("x-streamed", "1")?;
        Ok(Flow::WantChunks)
    }

    fn on_response_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        self.response.ask(self.config.response.as_ref(), chunk)
    }

    fn on_log(&mut self, request: &Request, _response: &Response) {
        info!("streamed {}: up {}; down {}", request.path(), self.request.line(), self.response.line());
    }
}
