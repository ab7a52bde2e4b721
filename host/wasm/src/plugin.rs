//! A component, checked and compiled: what it exports, what it imports, what it says of itself.

use std::fmt;

use limen_config::{Grants, PluginBreaker, PluginLimits};
use limen_policy::{Failure, Phase, Phases};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::capability::grants::{GRANTS, Grant};
use crate::code_cache::Compiled;
use crate::engine::{Engine, EngineError};
use crate::image;
use crate::isolate::{Code, Isolate, LOAD_LIMIT};
use crate::meters::{self, Declaration};
use crate::state::{Grounds, State};
use crate::wasi;

/// The version of the contract (`wit/`) that this gateway speaks.
pub const CONTRACT: &str = "0.1.0";
const PACKAGE: &str = "limen:policy/";

/// A compiled component. It does nothing yet: an [`Image`](crate::image::Image) of it is configured.
pub struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) pre: InstancePre<State>,
    pub(crate) exports: Exports,
    /// Whether it was compiled with accessors to its memory, so that images can be taken; else why not.
    pub(crate) imageable: Result<(), String>,
    /// Its imports and exports, by their names in the component.
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) about: About,
}

/// Something that a component imports or exports.
pub(crate) struct Interface {
    pub(crate) verb: &'static str,
    pub(crate) name: String,
}

pub(crate) type Digest = [u8; 32];

/// What `describe` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) config_schema: Option<Value>,
    #[serde(default)]
    metrics: Vec<Declaration>,
}

/// Why a component can't be used, and what to do about it.
#[derive(Debug)]
pub struct LoadError {
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl From<EngineError> for LoadError {
    fn from(error: EngineError) -> Self {
        LoadError::new(error.to_string()).hint(error.hint())
    }
}

impl LoadError {
    fn new(message: impl Into<String>) -> Self {
        LoadError { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Plugin {
    /// What it is compiled to, in bytes: machine code and what belongs to it.
    pub fn code_size(&self) -> usize {
        let range = self.pre.component().image_range();
        range.end.addr() - range.start.addr()
    }

    /// Compiles a component and asks what it is. Takes a second or so: never on a worker.
    pub(crate) fn load(engine: &Engine, bytes: Vec<u8>) -> Result<Self, LoadError> {
        check_magic(&bytes)?;
        let Compiled { component, imageable } = compile(engine, &bytes)?;
        let names = component.component_type();
        let imports = names.imports(engine.wasmtime()).map(|(name, _)| ("imports", name));
        let exports = names.exports(engine.wasmtime()).map(|(name, _)| ("exports", name));
        let interfaces = imports.chain(exports).map(|(verb, name)| Interface { verb, name: name.to_owned() });
        let interfaces: Vec<_> = interfaces.collect();
        interfaces.iter().try_for_each(|interface| check_version(&interface.name))?;
        interfaces.iter().try_for_each(|interface| check_wasi(&interface.name))?;
        let exports = Exports::of(&component)?;
        let pre = engine.linker().instantiate_pre(&component).map_err(|error| {
            LoadError::new(format!("the component imports what there is not here: {}", one_line(&error)))
                .hint("a policy can import interfaces of limen:policy and the harmless part of WASI")
        })?;
        let about = describe(engine, &pre, &exports)?;
        Ok(Plugin { digest: digest(&bytes), bytes, pre, exports, imageable, interfaces, about })
    }

    /// The first eight hexadecimal digits of its SHA-256: which version this is.
    pub fn id(&self) -> String {
        self.digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name and version it gives itself.
    pub fn title(&self) -> String {
        format!("{} {}", self.about.name, self.about.version)
    }

    /// The JSON Schema of its settings.
    pub fn schema(&self) -> Option<&Value> {
        self.about.config_schema.as_ref()
    }

    /// What it declares to count.
    pub fn metrics(&self) -> &[Declaration] {
        &self.about.metrics
    }

    pub fn phases(&self) -> Phases {
        self.exports.phases()
    }

    /// Whether it imports an interface of the contract.
    pub(crate) fn imports(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|it| it.verb == "imports" && interface_of(&it.name) == Some(interface))
    }

    /// Whether it wants to be called beside all exchanges.
    pub fn ticks(&self) -> bool {
        self.exports.tick.is_some()
    }

    /// Whether everything it imports and exports is granted.
    pub fn check_grants(&self, grants: &Grants) -> Result<(), LoadError> {
        // In the order of the list, where a stronger grant stands before a weaker one of its key.
        let mut denied: Vec<(&Grant, String)> = Vec::new();
        for grant in GRANTS.iter().filter(|grant| !(grant.is_given)(grants)) {
            let needs =
                |it: &&Interface| interface_of(&it.name).is_some_and(|name| grant.interfaces.contains(&name));
            let Some(needs) = self.interfaces.iter().find(needs) else { continue };
            if !denied.iter().any(|(stronger, _)| stronger.key() == grant.key()) {
                let interface = interface_of(&needs.name).unwrap_or_default();
                denied.push((grant, format!("{} `{interface}`", needs.verb)));
            }
        }
        if denied.is_empty() {
            return Ok(());
        }
        let (written, what): (Vec<_>, Vec<_>) =
            denied.iter().map(|(grant, what)| (grant.written, what.as_str())).unzip();
        let message = format!("the component {}, which it is not granted", what.join(" and "));
        let hint =
            format!("if it may have that, in its [plugin] section: grants = {{ {} }}", written.join(", "));
        Err(LoadError::new(message).hint(hint))
    }
}

/// Where the exports of a component are.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) configure: ComponentExportIndex,
    hooks: [Option<ComponentExportIndex>; Phase::ALL.len()],
    /// Those that have a hook: asked for several times in each exchange.
    phases: Phases,
    pub(crate) tick: Option<ComponentExportIndex>,
}

impl Exports {
    pub(crate) fn of(component: &Component) -> Result<Self, LoadError> {
        let function = |interface: &str, function: &str| {
            let name = format!("{PACKAGE}{interface}@{CONTRACT}");
            let instance = component.get_export_index(None, name.as_str())?;
            component.get_export_index(Some(&instance), function)
        };
        let plugin = |name| {
            function("plugin", name).ok_or_else(|| {
                LoadError::new(format!("the component does not export `{PACKAGE}plugin@{CONTRACT}`"))
                    .hint("is it a policy? `#[limen::policy]` on an impl block makes one")
            })
        };
        let hooks = Phase::ALL.map(|phase| {
            let name = phase.name();
            function(&format!("hook-{name}"), &format!("on-{name}"))
        });
        let [describe, configure] = [plugin("describe")?, plugin("configure")?];
        let tick = function("hook-tick", "on-tick");
        let phases: Phases =
            Phase::ALL.into_iter().zip(&hooks).filter_map(|(phase, hook)| hook.map(|_| phase)).collect();
        let exports = Exports { describe, configure, hooks, phases, tick };
        if phases.is_empty() && exports.tick.is_none() {
            return Err(LoadError::new("the component exports no hook: it would never be asked")
                .hint("give the policy an `on_request` or another hook"));
        }
        Ok(exports)
    }

    pub(crate) fn hook(&self, phase: Phase) -> Option<ComponentExportIndex> {
        self.hooks.get(phase as usize).copied().flatten()
    }

    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }
}

/// The compiled component of these bytes, from the code cache if it is there.
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Compiled, LoadError> {
    let Some(cache) = engine.code_cache() else { return compile_anew(engine, bytes) };
    if let Some(compiled) = cache.get(engine.wasmtime(), bytes) {
        return Ok(compiled);
    }
    let compiled = compile_anew(engine, bytes)?;
    cache.put(engine.wasmtime(), bytes, &compiled);
    Ok(compiled)
}

/// Compiles a component once for all that is done with it. With wizer's accessors, where it takes them,
/// it is the same component with a few exports more: a second compilation would double the time that
/// a new version takes to go live.
fn compile_anew(engine: &Engine, bytes: &[u8]) -> Result<Compiled, LoadError> {
    let with_accessors = image::instrument(bytes)
        .and_then(|(_, instrumented)| engine.compile(&instrumented).map_err(|error| one_line(&error)));
    let because = match with_accessors {
        Ok(component) => return Ok(Compiled { component, imageable: Ok(()) }),
        Err(because) => because,
    };
    // It may be broken altogether: then this is the error that speaks of what its author wrote.
    match engine.compile(bytes) {
        Ok(component) => Ok(Compiled { component, imageable: Err(because) }),
        Err(error) => Err(LoadError::new(format!("the component is broken: {}", one_line(&error)))),
    }
}

/// What a component may use while it is being loaded: more than later, and not without end.
pub(crate) fn loading_limits() -> PluginLimits {
    PluginLimits {
        cpu: LOAD_LIMIT,
        cpu_total: LOAD_LIMIT,
        wall: LOAD_LIMIT,
        memory: 1 << 30,
        body: 256 << 20,
        host_call_bytes: 4 << 20,
        fetches: 0,
        isolates: 1,
        share: 100,
        breaker: PluginBreaker { errors: 100, calls: 64, wasted: 100, open: LOAD_LIMIT },
        log_lines: 100,
        log_bytes: 64 << 10,
    }
}

/// Runs what has to wait, on the thread that loads. Never on a worker.
pub(crate) fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(future))
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

fn describe(engine: &Engine, pre: &InstancePre<State>, exports: &Exports) -> Result<About, LoadError> {
    let limits = loading_limits();
    let failed = |failure: Failure| LoadError::new(format!("its `describe` failed: {failure}"));
    let text = block_on(async {
        let code = Code::Component(pre.clone());
        let mut isolate = Isolate::start(engine, &code, Grounds::blank(), &limits).await?;
        isolate.describe(exports).await
    })
    .map_err(|error| LoadError::new(format!("could not start a runtime to load it: {error}")))?
    .map_err(failed)?;
    let mut about: About = serde_json::from_str(&text).map_err(|error| {
        LoadError::new(format!("its `describe` does not answer as the contract says: {error}"))
    })?;
    meters::check(&mut about.metrics).map_err(LoadError::new)?;
    Ok(about)
}

/// The interface of the contract that an import or export name speaks of.
pub(crate) fn interface_of(name: &str) -> Option<&str> {
    Some(name.strip_prefix(PACKAGE)?.split('@').next().unwrap_or_default())
}

fn check_version(name: &str) -> Result<(), LoadError> {
    let Some((_, version)) = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
        return Ok(());
    };
    if version.starts_with("0.1.") {
        return Ok(());
    }
    Err(LoadError::new(format!(
        "the component was built for version {version} of the contract; this gateway speaks {CONTRACT}"
    ))
    .hint("build it with the SDK of this gateway's version"))
}

/// Refuses what no grant gives: it would only fail when it is called.
fn check_wasi(name: &str) -> Result<(), LoadError> {
    match wasi::name_of(name).filter(|interface| wasi::is_refused(interface)) {
        Some(interface) => {
            let message =
                format!("the component imports `wasi:{interface}`, and no policy is granted sockets");
            Err(LoadError::new(message).hint(
                "leave out what opens sockets, such as `std::net`: a policy calls upstreams with `fetch`",
            ))
        }
        None => Ok(()),
    }
}

/// Tells what a file is that is no component: the usual mistakes have better names than a parser's.
fn check_magic(bytes: &[u8]) -> Result<(), LoadError> {
    let hint = "build it with `cargo build --release --target wasm32-wasip2`";
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            Err(LoadError::new("this is a core WebAssembly module, not a component").hint(hint))
        }
        [] => Err(LoadError::new("the file is empty")),
        _ => Err(LoadError::new("this is not WebAssembly").hint(hint)),
    }
}

/// An error of wasmtime without its line breaks and backtrace.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
