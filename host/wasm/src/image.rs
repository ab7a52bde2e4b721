//! The memory that `configure` left, as the start of every isolate.
//!
//! Where one can be taken, an image is the component itself with its memory and globals as they were
//! after `configure` (wasmtime's wizer makes it), so that a new isolate is configured before its first
//! instruction. Some components can't be imaged (they hold handles of the host, or have a shape that
//! wizer does not know): there `configure` runs in each new isolate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use limen_policy::{Failure, FailureKind};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::direct::Direct;
use crate::engine::Engine;
use crate::isolate::{Code, Guest, Isolate};
use crate::plugin::{Exports, Plugin, block_on, loading_limits, one_line};
use crate::state::{Grounds, State};

/// A component with its settings: what new isolates are made from.
pub(crate) struct Image {
    pub(crate) code: Code,
    pub(crate) exports: Exports,
    pub(crate) settings: Arc<Settings>,
    pub(crate) start: Start,
    /// Whether its isolates are put back after an exchange; else why they are made anew.
    pub(crate) rewind: Result<(), String>,
}

/// How an isolate that nobody has used comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// That of the exchange before is put back to what it was when it was new.
    Rewound,
    /// A new one is made, because...
    MadeAnew { because: String },
}

/// The settings of an attachment.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) json: String,
    pub(crate) value: Value,
}

/// How an isolate gets the memory that `configure` left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It starts with it.
    FromImage,
    /// `configure` runs in each new isolate, because...
    ConfigureInEach { because: String },
}

/// Why no image was taken.
enum NoImage {
    /// The settings are wrong, whatever way they are given to it.
    Refused(Failure),
    /// It can't be done with this component.
    Impossible(String),
}

impl Image {
    /// Configures a component. The failure is the policy's own: its settings don't suit it.
    pub(crate) fn make(
        engine: &Engine,
        plugin: &Plugin,
        settings: Arc<Settings>,
        may_image: bool,
    ) -> Result<Self, Failure> {
        let because = if may_image {
            match take(engine, plugin, &settings) {
                Ok(snapshot) => match Self::from_snapshot(engine, plugin, &snapshot, settings.clone()) {
                    Ok(image) => return Ok(image),
                    Err(reason) => reason,
                },
                Err(NoImage::Refused(failure)) => return Err(failure),
                Err(NoImage::Impossible(reason)) => reason,
            }
        } else {
            "this plugin has many different settings already".to_owned()
        };
        try_configure(engine, plugin, &settings)?;
        Ok(Image {
            code: Code::Component(plugin.pre.clone()),
            exports: plugin.exports.clone(),
            settings,
            start: Start::ConfigureInEach { because },
            rewind: Err("there is no image of its configured memory".to_owned()),
        })
    }

    fn from_snapshot(
        engine: &Engine,
        plugin: &Plugin,
        snapshot: &[u8],
        settings: Arc<Settings>,
    ) -> Result<Self, String> {
        let mut exports = plugin.exports.clone();
        let (code, rewind) = match Direct::of(engine, snapshot, &exports) {
            Ok(direct) => {
                let told = engine.kernel().map(|_| ());
                let told = told.ok_or_else(|| "the kernel does not tell which pages were written".to_owned());
                (Code::Direct(Box::new(direct)), told)
            }
            Err(because) => {
                let component = engine.compile(snapshot).map_err(|error| one_line(&error))?;
                let pre = engine.linker().instantiate_pre(&component).map_err(|error| one_line(&error))?;
                exports = Exports::of(&component).map_err(|error| error.to_string())?;
                (Code::Component(pre), Err(because))
            }
        };
        Ok(Image { code, exports, settings, start: Start::FromImage, rewind })
    }

    pub(crate) fn reset(&self) -> Reset {
        match &self.rewind {
            Ok(()) => Reset::Rewound,
            Err(because) => Reset::MadeAnew { because: because.clone() },
        }
    }
}

impl Start {
    pub(crate) fn in_each_isolate(&self) -> bool {
        matches!(self, Start::ConfigureInEach { .. })
    }
}

/// Runs `configure` once in an isolate that is thrown away.
fn try_configure(engine: &Engine, plugin: &Plugin, settings: &Arc<Settings>) -> Result<(), Failure> {
    run(async {
        let grounds = Grounds::loading(&plugin.about.name, settings.clone());
        let code = Code::Component(plugin.pre.clone());
        let mut isolate = Isolate::start(engine, &code, grounds, &loading_limits()).await?;
        isolate.configure(&plugin.exports, &settings.json).await?.map_err(refusal)
    })?
}

/// A component with accessors to its memory and globals, which wizer reads an instance by.
pub(crate) fn instrument(bytes: &[u8]) -> Result<(ComponentContext<'_>, Vec<u8>), String> {
    // Wizer was made for a command line: what it does not know it may answer with a panic.
    catch_unwind(|| wizer().instrument_component(bytes).map_err(|error| one_line(&error)))
        .unwrap_or_else(|_| Err("wizer panicked".to_owned()))
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    wizer
}

/// Configures an instance and makes a component of what it became.
fn take(engine: &Engine, plugin: &Plugin, settings: &Arc<Settings>) -> Result<Vec<u8>, NoImage> {
    let taken = catch_unwind(AssertUnwindSafe(|| try_take(engine, plugin, settings)));
    taken.unwrap_or_else(|_| Err(NoImage::Impossible("wizer panicked".to_owned())))
}

fn try_take(engine: &Engine, plugin: &Plugin, settings: &Arc<Settings>) -> Result<Vec<u8>, NoImage> {
    let impossible = |error: wasmtime::Error| NoImage::Impossible(one_line(&error));
    plugin.imageable.clone().map_err(NoImage::Impossible)?;
    let (context, _) = instrument(&plugin.bytes).map_err(NoImage::Impossible)?;

    let snapshot = run(async {
        let grounds = Grounds::loading(&plugin.about.name, settings.clone());
        let code = Code::Component(plugin.pre.clone());
        let started = Isolate::start(engine, &code, grounds, &loading_limits()).await;
        let mut isolate = started.map_err(|failure| NoImage::Impossible(failure.to_string()))?;
        match isolate.configure(&plugin.exports, &settings.json).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(NoImage::Refused(refusal(reason))),
            Err(failure) => return Err(NoImage::Refused(failure)),
        }
        if isolate.store.data().holds_handles() {
            return Err(NoImage::Impossible("its configure leaves handles of the host open".to_owned()));
        }
        isolate.store.data_mut().arm(crate::isolate::LOAD_LIMIT);
        isolate.store.set_epoch_deadline(1);
        let Guest::Component { instance, .. } = isolate.guest else {
            return Err(NoImage::Impossible("it was not started as a component".to_owned()));
        };
        let mut reader = Reader { store: isolate.store, instance, error: None };
        let snapshot = wizer().snapshot_component(&context, &mut reader).await.map_err(impossible)?;
        match reader.error {
            None => Ok(snapshot),
            Some(error) => Err(impossible(error)),
        }
    })
    .map_err(|failure| NoImage::Impossible(failure.to_string()))??;
    Ok(snapshot)
}

fn run<F: Future>(future: F) -> Result<F::Output, Failure> {
    block_on(future).map_err(|error| Failure::new(FailureKind::NoIsolate, error.to_string()))
}

fn refusal(reason: String) -> Failure {
    Failure::new(FailureKind::Failed, reason)
}

/// Lets wizer look into an instance. Its trait has no errors, so the first is kept here.
struct Reader {
    store: Store<State>,
    instance: Instance,
    error: Option<wasmtime::Error>,
}

impl Reader {
    fn find(&mut self, instance: &str, function: &str) -> Option<ComponentExportIndex> {
        let outer = self.instance.get_export_index(&mut self.store, None, instance)?;
        self.instance.get_export_index(&mut self.store, Some(&outer), function)
    }

    async fn ask<R: Lift + Send + Sync + 'static>(&mut self, instance: &str, function: &str) -> Option<R> {
        let result = async {
            let index = self
                .find(instance, function)
                .ok_or_else(|| wasmtime::format_err!("wizer's accessor {function} is missing"))?;
            let accessor = self.instance.get_typed_func::<(), (R,)>(&mut self.store, index)?;
            Ok(accessor.call_async(&mut self.store, ()).await?.0)
        };
        match result.await {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }
}

impl ComponentInstanceState for Reader {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        match self.ask::<WasmList<u8>>(instance, func).await {
            Some(list) => contents(list.as_le_slice(&self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.ask(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.ask(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.ask::<f32>(instance, func).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.ask::<f64>(instance, func).await.unwrap_or_default().to_bits()
    }
}
