//! The macros of `limen-sdk`; use them through it.

mod deserialize;
mod hooks;
mod policy;

use proc_macro::TokenStream;

/// Make a policy of a type, from the impl block with its methods.
///
/// `configure` is required; each of the hooks is there or is not, and the component exports exactly
/// those that are. Other methods are left alone.
///
/// ```text
/// fn configure(config: Config) -> Result<Self>     // or without settings: fn configure() -> Result<Self>
/// fn on_request(&mut self, request: &mut Request) -> Result<Flow>
/// fn on_request_body(&mut self, request: &mut Request, body: &mut RequestBody) -> Result<Flow>
/// fn on_request_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow>
/// fn on_request_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow>
/// fn on_upstream(&mut self, request: &mut Request) -> Result<Flow>
/// fn on_response(&mut self, response: &mut Response) -> Result<Flow>
/// fn on_response_body(&mut self, response: &mut Response, body: &mut ResponseBody) -> Result<Flow>
/// fn on_response_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow>
/// fn on_response_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow>
/// fn on_log(&mut self, request: &Request, response: &Response)    // or -> Result<()>
/// ```
///
/// `on_response` and `on_response_body` may have `request: &Request` before their first parameter, to
/// read the request that is being answered. The hooks of chunks and trailers may have the head they belong
/// to there: `request: &Request`, or `response: &Response`. `on_upstream` may have `attempt: &Attempt` after
/// its own.
///
/// - `configure` runs before traffic, and every isolate starts from what it left. `Config` needs
///   `#[derive(Deserialize, JsonSchema)]`: the gateway checks the TOML against that schema, which
///   allows no setting that the struct does not have; for structs inside it say
///   `#[serde(deny_unknown_fields)]`. An error is a mistake in the settings and is shown to the operator.
/// - Each hook gets `&mut self`: what one keeps there, the later ones of the same exchange find, and
///   no other exchange does (unless the plugin's `isolate` is `"reused"`).
/// - An `Err` means that the policy failed: its text goes to the log, its edits are dropped, and the
///   attachment's `on_error` decides. For bad input of the client, `.or_reply(400)?` answers. A panic
///   ends the isolate, with its message and place in the log.
///
/// One type in a crate can be a policy. If `limen-sdk` is known by another name in the crate, say so:
/// `#[limen::policy(crate = other)]`.
#[proc_macro_attribute]
pub fn policy(arguments: TokenStream, item: TokenStream) -> TokenStream {
    policy::expand(arguments.into(), item.into()).into()
}

/// serde's `Deserialize`, for crates that depend on `limen-sdk` alone: its `#[serde(...)]` attributes
/// work as usual.
///
/// If `limen-sdk` is known by another name in the crate, say so: `#[limen(crate = other)]`.
#[proc_macro_derive(Deserialize, attributes(serde, limen))]
pub fn deserialize(item: TokenStream) -> TokenStream {
    deserialize::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
