//! One call of one hook: what it is given, and what its answer means.

use std::borrow::Cow;
use std::time::Duration;

use limen_policy::{Exchange, Phase, Verdict};
use wasmtime::component::TypedFunc;

use crate::capability::bindings::limen::policy::types::{ChunkVerdict, Verdict as HeadVerdict};
use crate::isolate::Isolate;
use crate::plugin::Exports;

/// What a guest said.
pub(crate) enum Said {
    Head(HeadVerdict),
    Chunk(ChunkVerdict),
}

/// An answer that is no verdict.
pub(crate) enum Unusable {
    /// The policy said itself that it failed.
    Failed,
    /// It may not say that here, for this reason.
    Lie(String),
}

/// The hooks of an instance: each is looked up and checked when it is first called.
#[derive(Default)]
pub(crate) struct Hooks {
    /// Whether one was called in this exchange. The first is called by another entrance.
    begun: bool,
    heads: [[Option<Head>; Phase::ALL.len()]; 2],
}

type Head = TypedFunc<(), (HeadVerdict,)>;

impl Hooks {
    /// Another exchange begins.
    pub(crate) fn begin(&mut self) {
        self.begun = false;
    }
}

/// Calls the hook of a phase; one that the component has not says `next`.
pub(crate) async fn run(
    isolate: &mut Isolate,
    exports: &Exports,
    phase: Phase,
    cpu: Duration,
) -> wasmtime::Result<Said> {
    let Isolate { store, instance, hooks, .. } = isolate;
    let first = !std::mem::replace(&mut hooks.begun, true);
    let index = if first { exports.first(phase) } else { exports.hook(phase) };
    let Some(index) = index else { return Ok(Said::Head(HeadVerdict::Next)) };
    store.data_mut().arm(cpu);
    store.set_epoch_deadline(1);
    match phase {
        Phase::Log => {
            let hook = instance.get_typed_func::<(), ()>(&mut *store, index)?;
            hook.call_async(store, ()).await?;
            Ok(Said::Head(HeadVerdict::Next))
        }
        Phase::RequestChunk | Phase::ResponseChunk => {
            // It is given something, and making room for that would run before globals are put back.
            wasmtime::ensure!(!first, "a piece of a body before its head");
            let chunk = store.data().exchange.chunk().map(|chunk| (chunk.data.clone(), chunk.last));
            let (data, last) = chunk.unwrap_or_default();
            let hook = instance.get_typed_func::<(&[u8], bool), (ChunkVerdict,)>(&mut *store, index)?;
            Ok(Said::Chunk(hook.call_async(store, (&*data, last)).await?.0))
        }
        _ => {
            let known = hooks.heads.get_mut(usize::from(first)).and_then(|all| all.get_mut(phase as usize));
            let hook = match known {
                Some(Some(hook)) => *hook,
                known => {
                    let hook = instance.get_typed_func(&mut *store, index)?;
                    if let Some(known) = known {
                        *known = Some(hook);
                    }
                    hook
                }
            };
            Ok(Said::Head(hook.call_async(store, ()).await?.0))
        }
    }
}

/// Whether the verdict may be given here.
pub(crate) fn judge(
    said: Said,
    exports: &Exports,
    phase: Phase,
    exchange: &Exchange,
) -> Result<Verdict, Unusable> {
    match said {
        Said::Head(HeadVerdict::Next) | Said::Chunk(ChunkVerdict::Pass) => Ok(Verdict::Next),
        Said::Head(HeadVerdict::Fail) | Said::Chunk(ChunkVerdict::Fail) => Err(Unusable::Failed),
        Said::Head(HeadVerdict::Reply) | Said::Chunk(ChunkVerdict::Reply) => match &exchange.reply {
            Some(_) => Ok(Verdict::Reply),
            None if exchange.is_sent => lie("it answered `reply` after a part of the response was sent"),
            None => lie("it answered `reply` and staged none"),
        },
        Said::Head(HeadVerdict::WantBody) => {
            wanted("want-body", phase.body(), exports).map(|()| Verdict::WantBody)
        }
        Said::Head(HeadVerdict::WantChunks) => {
            wanted("want-chunks", phase.chunks(), exports).map(|()| Verdict::WantChunks)
        }
        Said::Chunk(ChunkVerdict::PassRest) => Ok(Verdict::PassRest),
        Said::Chunk(ChunkVerdict::Emitted) => Ok(Verdict::Emitted),
        Said::Chunk(ChunkVerdict::Drop) => Ok(Verdict::Drop),
    }
}

/// Whether the hook is there that the policy asks to be called.
fn wanted(verdict: &str, next: Option<Phase>, exports: &Exports) -> Result<(), Unusable> {
    match next {
        Some(next) if exports.hook(next).is_some() => Ok(()),
        Some(next) => lie(format!("it answered `{verdict}` and exports no hook-{}", next.name())),
        None => lie(format!("`{verdict}` is an answer of `hook-request` and `hook-response` only")),
    }
}

fn lie<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Unusable> {
    Err(Unusable::Lie(reason.into().into_owned()))
}
