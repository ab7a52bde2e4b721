//! What the macros' output calls. Not for authors, and free to change.

pub use crate::metrics::Metric;
pub use crate::policy::{About, Phase};
pub use crate::{
    Attempt, Chunk, ChunkFlow, Flow, Policy, Request, RequestBody, Response, ResponseBody, Result, Trailers,
};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[cfg(target_family = "wasm")]
pub use crate::host::component::*;

/// No settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// The text for `plugin.describe`.
pub fn describe<P: Policy>() -> String {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<P::Config>().to_value();
    refuse_undeclared(&mut schema);
    json!({
        "name": P::ABOUT.name,
        "version": P::ABOUT.version,
        "description": P::ABOUT.description,
        "configSchema": schema,
        "metrics": P::METRICS.iter().map(Metric::declaration).collect::<Vec<_>>(),
    })
    .to_string()
}

/// A plain struct of settings allows no others at its top level. Deeper ones, and those that are put
/// together of several schemas, are left to their author's `deny_unknown_fields`: closing one part of
/// a schema would refuse what another part declares.
fn refuse_undeclared(schema: &mut Value) {
    const SAYS_MORE: [&str; 8] = [
        "additionalProperties",
        "unevaluatedProperties",
        "patternProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
        "if",
    ];
    let Some(schema) = schema.as_object_mut() else { return };
    let plain = schema.get("type").is_some_and(|kind| kind == "object")
        && !SAYS_MORE.iter().any(|key| schema.contains_key(*key));
    if plain {
        schema.insert("additionalProperties".into(), false.into());
    }
}

/// The work of `plugin.configure`: settings from their JSON, then the author's own function.
pub fn configure<P: Policy>(config: &str) -> std::result::Result<P, String> {
    #[cfg(target_family = "wasm")]
    crate::heap::reserve();
    let config = serde_json::from_str(config).map_err(|error| format!("settings: {error}"))?;
    P::configure(config).map_err(|error| error.to_string())
}

/// The hook `on_request`; the others follow.
pub fn on_request<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_request(&mut Request::current()))
}

pub fn on_request_body<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_request_body(&mut Request::current(), &mut RequestBody::current()))
}

pub fn on_response<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_response(&Request::current(), &mut Response::current()))
}

pub fn on_response_body<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_response_body(&Request::current(), &mut Response::current(), &mut ResponseBody::current()))
}

pub fn on_request_chunk<P: Policy>(policy: &mut P, bytes: Vec<u8>, last: bool) -> ChunkEnding {
    end_chunk(policy.on_request_chunk(&Request::current(), &Chunk::new(bytes, last)))
}

pub fn on_request_trailers<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_request_trailers(&Request::current(), &mut Trailers::current()))
}

pub fn on_upstream<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_upstream(&mut Request::current(), &Attempt::current()))
}

pub fn on_response_chunk<P: Policy>(policy: &mut P, bytes: Vec<u8>, last: bool) -> ChunkEnding {
    end_chunk(policy.on_response_chunk(&Response::current(), &Chunk::new(bytes, last)))
}

pub fn on_response_trailers<P: Policy>(policy: &mut P) -> Ending {
    end(policy.on_response_trailers(&Response::current(), &mut Trailers::current()))
}

/// The log hook has no verdict: its failure is a line in the log.
pub fn on_log<P: Policy>(policy: &mut P) {
    if let Err(error) = policy.on_log(&Request::current(), &Response::current()) {
        crate::host::log::write(crate::Level::Error, &error.to_string());
    }
}

/// The tick hook has no exchange, and its failure is for the log.
pub fn on_tick<P: Policy>(policy: &mut P) -> std::result::Result<(), String> {
    policy.on_tick().map_err(|error| error.to_string())
}

/// How a hook's result ends the call, once it has been made known to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Next,
    WantBody,
    WantChunks,
    Reply,
    Fail,
}

/// The same of a chunk hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEnding {
    Pass,
    PassRest,
    Emitted,
    Drop,
    Reply,
    Fail,
}

/// Stage the reply or log the reason of a failure.
fn end(result: Result<Flow>) -> Ending {
    let reply = match result {
        Ok(Flow::Next) => return Ending::Next,
        Ok(Flow::WantBody) => return Ending::WantBody,
        Ok(Flow::WantChunks) => return Ending::WantChunks,
        Ok(Flow::Reply(reply)) => reply,
        Err(error) => match error.into_answer() {
            Ok(reply) => reply,
            Err(reason) => return fail(&reason),
        },
    };
    match reply.stage() {
        Ok(()) => Ending::Reply,
        Err(error) => fail(&error.to_string()),
    }
}

/// The same for a chunk hook: what takes the place of the chunk is handed over.
fn end_chunk(result: Result<ChunkFlow>) -> ChunkEnding {
    let result = match result {
        Ok(ChunkFlow::Pass) => return ChunkEnding::Pass,
        Ok(ChunkFlow::PassRest) => return ChunkEnding::PassRest,
        Ok(ChunkFlow::Drop) => return ChunkEnding::Drop,
        Ok(ChunkFlow::Emit(bytes)) => {
            let length = bytes.len();
            match crate::host::chunks::emit(&bytes) {
                Ok(()) => return ChunkEnding::Emitted,
                Err(why) => Err(crate::Error::msg(format_args!("emit {length} bytes: {why}"))),
            }
        }
        Ok(ChunkFlow::Reply(reply)) => Ok(Flow::Reply(reply)),
        Err(error) => Err(error),
    };
    match end(result) {
        Ending::Reply => ChunkEnding::Reply,
        _ => ChunkEnding::Fail,
    }
}

#[cold]
fn fail(reason: &str) -> Ending {
    crate::host::log::fail(reason);
    Ending::Fail
}

/// `on_log` may return nothing or a `Result<()>`.
pub trait LogResult {
    fn into_result(self) -> Result<()>;
}

impl LogResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl LogResult for Result<()> {
    fn into_result(self) -> Result<()> {
        self
    }
}
