//! What nearly every policy uses: `use limen::prelude::*;`.

pub use crate::{
    Attempt, Chunk, ChunkFlow, Context, Deserialize, Flow, JsonSchema, OrReply, Reply, Request, RequestBody,
    Response, ResponseBody, Result, Trailers,
};
pub use crate::{bail, debug, ensure, error, info, trace, warn};
pub use crate::{json, policy};

// The derive of `JsonSchema` names the crate `schemars`: with this a policy needs no dependency on
// it. (That of `Deserialize` is our own for the same reason.)
#[doc(hidden)]
pub use crate::schemars;
