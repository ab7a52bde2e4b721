//! One call of one hook: what it is given, and what its answer means.

use std::borrow::Cow;
use std::time::Duration;

use limen_policy::{Exchange, Phase, Verdict};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, TypedFunc};

use crate::capability::bindings::limen::policy::types::{ChunkVerdict, Verdict as HeadVerdict};
use crate::image::Image;
use crate::isolate::{Code, Guest, Isolate, arm};
use crate::plugin::Exports;
use crate::state::State;

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

/// The hooks of a component's instance: each is looked up and checked when it is first called.
#[derive(Default)]
pub(crate) struct Hooks([Option<Head>; Phase::ALL.len()]);

type Head = TypedFunc<(), (HeadVerdict,)>;

/// Calls the hook of a phase; one that the component has not says `next`.
pub(crate) async fn run(
    isolate: &mut Isolate,
    image: &Image,
    phase: Phase,
    cpu: Duration,
) -> wasmtime::Result<Said> {
    let Isolate { store, guest, .. } = isolate;
    let Some(index) = image.exports.hook(phase) else { return Ok(Said::Head(HeadVerdict::Next)) };
    arm(store, cpu);
    match (guest, &image.code) {
        (Guest::Component { instance, hooks }, _) => ask(instance, hooks, store, index, phase).await,
        (Guest::Direct(instance), Code::Direct(direct)) => instance.call(direct, store, phase).await,
        (Guest::Direct(_), Code::Component(_)) => wasmtime::bail!("it is an isolate of something else"),
    }
}

/// The same on the stack of whoever asks, for guests that never wait.
pub(crate) fn run_here(
    isolate: &mut Isolate,
    image: &Image,
    phase: Phase,
    cpu: Duration,
) -> wasmtime::Result<Said> {
    let Isolate { store, guest, .. } = isolate;
    if image.exports.hook(phase).is_none() {
        return Ok(Said::Head(HeadVerdict::Next));
    }
    arm(store, cpu);
    let (Guest::Direct(instance), Code::Direct(direct)) = (guest, &image.code) else {
        wasmtime::bail!("an isolate that has to be called on a stack of its own")
    };
    store.data_mut().may_give_way = false;
    let said = instance.call_here(direct, store, phase);
    store.data_mut().may_give_way = true;
    said
}

/// The same through wasmtime's components.
async fn ask(
    instance: &Instance,
    hooks: &mut Hooks,
    store: &mut Store<State>,
    index: ComponentExportIndex,
    phase: Phase,
) -> wasmtime::Result<Said> {
    match phase {
        Phase::Log => {
            let hook = instance.get_typed_func::<(), ()>(&mut *store, index)?;
            hook.call_async(store, ()).await?;
            Ok(Said::Head(HeadVerdict::Next))
        }
        Phase::RequestChunk | Phase::ResponseChunk => {
            let chunk = store.data().exchange.chunk().map(|chunk| (chunk.data.clone(), chunk.last));
            let (data, last) = chunk.unwrap_or_default();
            let hook = instance.get_typed_func::<(&[u8], bool), (ChunkVerdict,)>(&mut *store, index)?;
            Ok(Said::Chunk(hook.call_async(store, (&*data, last)).await?.0))
        }
        _ => {
            let known = hooks.0.get_mut(phase as usize);
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

/// Calls the hook beside all exchanges; the inner error is the guest's own.
pub(crate) async fn tick(isolate: &mut Isolate, image: &Image) -> wasmtime::Result<Result<(), String>> {
    let Isolate { store, guest, .. } = isolate;
    let Some(index) = image.exports.tick else { return Ok(Ok(())) };
    match (guest, &image.code) {
        (Guest::Component { instance, .. }, _) => {
            let hook = instance.get_typed_func::<(), (Result<(), String>,)>(&mut *store, index)?;
            Ok(hook.call_async(store, ()).await?.0)
        }
        (Guest::Direct(instance), Code::Direct(direct)) => instance.tick(direct, store).await,
        (Guest::Direct(_), Code::Component(_)) => wasmtime::bail!("it is an isolate of something else"),
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
