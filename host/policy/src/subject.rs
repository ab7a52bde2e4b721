//! What a hook is about besides the heads: a piece of a body, trailers, an attempt.

use bytes::Bytes;
use http::HeaderMap;

use crate::edit::EditError;
use crate::{Exchange, Phase};

/// What the hook under way is about. Small where it is nothing, as for most hooks.
#[derive(Debug, Default)]
pub enum Subject {
    #[default]
    Heads,
    Chunk(Box<Chunk>),
    Trailers(Box<HeaderMap>),
    Attempt(Box<Attempt>),
}

/// A piece of a body, and what takes its place.
#[derive(Debug, Default)]
pub struct Chunk {
    pub data: Bytes,
    /// Whether no more follows.
    pub last: bool,
    pub emitted: Vec<u8>,
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub struct Attempt {
    /// Of this request, from 1.
    pub number: u32,
    pub endpoint: String,
}

impl Exchange {
    /// Puts bytes in the place of the chunk at hand; `limit` is the policy's `limits.body`.
    pub fn emit(&mut self, data: Vec<u8>, limit: u64) -> Result<(), EditError> {
        let Subject::Chunk(chunk) = &mut self.subject else { return Err(EditError::TooLate) };
        if (chunk.emitted.len() + data.len()) as u64 > limit {
            return Err(EditError::TooLarge);
        }
        if chunk.emitted.is_empty() {
            chunk.emitted = data;
        } else {
            chunk.emitted.extend_from_slice(&data);
        }
        Ok(())
    }

    /// The chunk at hand.
    pub fn chunk(&self) -> Option<&Chunk> {
        match &self.subject {
            Subject::Chunk(chunk) => Some(chunk),
            _ => None,
        }
    }

    /// The trailers at hand.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        match &self.subject {
            Subject::Trailers(trailers) => Some(trailers),
            _ => None,
        }
    }

    /// The attempt at hand.
    pub fn attempt(&self) -> Option<&Attempt> {
        match (&self.subject, self.phase) {
            (Subject::Attempt(attempt), Phase::Upstream) => Some(attempt),
            _ => None,
        }
    }
}
