//! What the attribute `#[limen::policy]` makes of an impl block.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::metrics::Metric;
use crate::{
    Attempt, Chunk, ChunkFlow, Flow, Request, RequestBody, Response, ResponseBody, Result, Trailers,
};

/// A policy, as the gateway's glue and the tests see it. Written by [`macro@crate::policy`]; what an
/// author writes is described there.
pub trait Policy: Sized + 'static {
    /// The settings of one attachment.
    type Config: DeserializeOwned + JsonSchema;

    /// The phases it has a method for; the component exports these and no others.
    const PHASES: &'static [Phase];

    /// Name, version and description of the policy's crate.
    const ABOUT: About;

    /// The metrics that it declares.
    const METRICS: &'static [Metric] = &[];

    /// See [`macro@crate::policy`], as for all of these.
    fn configure(config: Self::Config) -> Result<Self>;

    #[doc(hidden)]
    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_request_body(&mut self, _: &mut Request, _: &mut RequestBody) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_request_chunk(&mut self, _: &Request, _: &Chunk) -> Result<ChunkFlow> {
        Ok(ChunkFlow::PassRest)
    }

    #[doc(hidden)]
    fn on_request_trailers(&mut self, _: &Request, _: &mut Trailers) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_upstream(&mut self, _: &mut Request, _: &Attempt) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_response(&mut self, _: &Request, _: &mut Response) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_response_body(&mut self, _: &Request, _: &mut Response, _: &mut ResponseBody) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_response_chunk(&mut self, _: &Response, _: &Chunk) -> Result<ChunkFlow> {
        Ok(ChunkFlow::PassRest)
    }

    #[doc(hidden)]
    fn on_response_trailers(&mut self, _: &Response, _: &mut Trailers) -> Result<Flow> {
        Ok(Flow::Next)
    }

    #[doc(hidden)]
    fn on_tick(&mut self) -> Result<()> {
        Ok(())
    }

    #[doc(hidden)]
    fn on_log(&mut self, _: &Request, _: &Response) -> Result<()> {
        Ok(())
    }
}

/// A moment of an exchange that a policy can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `on_request`: the request head is there.
    Request,
    /// `on_request_body`: its whole body, after [`Flow::WantBody`].
    RequestBody,
    /// `on_request_chunk`: a piece of its body, after [`Flow::WantChunks`].
    RequestChunk,
    /// `on_request_trailers`: trailers follow its body.
    RequestTrailers,
    /// `on_upstream`: the request is about to go to an endpoint.
    Upstream,
    /// `on_response`: the response head is there.
    Response,
    /// `on_response_body`: its whole body, after [`Flow::WantBody`].
    ResponseBody,
    /// `on_response_chunk`: a piece of its body, after [`Flow::WantChunks`].
    ResponseChunk,
    /// `on_response_trailers`: trailers follow its body.
    ResponseTrailers,
    /// `on_log`: the exchange has ended.
    Log,
    /// `on_tick`: beside all exchanges, now and then.
    Tick,
}

/// Who a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the keys of Cargo.toml")]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    pub description: &'static str,
}
