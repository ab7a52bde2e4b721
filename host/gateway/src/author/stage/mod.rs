//! A gateway in this process for one policy: its own snapshot and worker, connections on loopback, and
//! upstreams that answer what they are told to. What a request meets here is what it meets in `limen run`.
//!
//! ```text
//! Stage    what is compiled once, for all cases and measurements
//! Scene    one case: its snapshot, its worker, its upstreams
//! Origin   an upstream: plays answers, and keeps what it was asked
//! Witness  stands around the policy, and notes what each of its hooks came to
//! Lines    what was written to the log
//! ```

mod lines;
mod origin;
mod visit;
mod wire;
mod witness;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use limen_config::suite::{Ask, Case, ORIGIN, Played, Step};
use limen_config::{CodeCache, Config, ConfigError, Errors, IsolateMode, Place};
use limen_policy::native::Documents;
use limen_policy::{Failure, FailureKind, Policy};
use limen_store::{Life, StateFile};
use limen_wasm::{Manifest, Registry, Reset, Totals};
use tokio::net::TcpListener;

use crate::StartError;
use crate::edition::{Edition, Stage as Phase};
use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::worker::{Alive, Worker, alive};
pub use lines::Lines;
pub use origin::{Origin, Seen};
pub use visit::{Response, Visitor};
pub use witness::{Note, Notes, OUTCOMES, Witness};

/// The number of the one worker.
const WORKER: usize = 0;

/// What is compiled once.
pub struct Stage {
    pub registry: Registry,
    pub manifest: Manifest,
}

/// One case, about to be played.
pub struct Scene {
    config: Arc<Config>,
    snapshot: Arc<Snapshot>,
    pub notes: Arc<Notes>,
    origins: BTreeMap<String, Origin>,
    http2: bool,
}

/// A scene with its worker.
pub struct Playing<'s> {
    scene: &'s Scene,
    worker: Rc<Worker>,
    front: TcpListener,
    address: SocketAddr,
}

/// What came of one step.
pub struct Outcome {
    /// None of a tick.
    pub response: Option<Result<Response, String>>,
    /// What each upstream was asked.
    pub seen: BTreeMap<String, Vec<Seen>>,
    pub notes: Vec<Note>,
}

impl Stage {
    /// Compiles a component.
    pub fn new(component: &Path) -> Result<Self, StartError> {
        Self::with(component, Registry::new(1, CodeCache::default()))
    }

    /// The same; its policies say how much crosses between them and the gateway.
    pub fn counting_bytes(component: &Path) -> Result<Self, StartError> {
        Self::with(component, Registry::new(1, CodeCache::default()).counting_bytes())
    }

    fn with(component: &Path, registry: Registry) -> Result<Self, StartError> {
        let wrong = |what: String| StartError::Machine(format!("{}: {what}", component.display()));
        limen_wasm::set_worker(WORKER);
        registry.keep_images();
        let bytes = std::fs::read(component).map_err(|error| wrong(format!("could not read it: {error}")))?;
        let plugin = registry.plugin(bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(Stage { registry, manifest: plugin.manifest() })
    }

    /// Sets the scene of a case, with a witness around its policy.
    pub fn set(&self, played: &Played) -> Result<Scene, Errors> {
        let notes = Arc::<Notes>::default();
        let around = |_, policy| Box::new(Witness::new(policy, notes.clone())) as Box<_>;
        let Played { case, config } = played;
        let scene = self.raise(config.clone(), case.http2, &case.place, around)?;
        Ok(Scene { notes: notes.clone(), ..scene })
    }

    /// Makes a snapshot of a configuration, as if the process had just begun, with something around the policy
    /// of each route. The errors are those of the configuration.
    pub fn raise(
        &self,
        mut config: Config,
        http2: bool,
        place: &Place,
        around: impl Fn(usize, Box<dyn Policy>) -> Box<dyn Policy>,
    ) -> Result<Scene, Errors> {
        let no_port = |error: std::io::Error| {
            Errors::from_iter([ConfigError::new(place.clone(), format!("no port: {error}"))])
        };
        let mut origins = BTreeMap::new();
        for (name, terms) in &mut config.upstreams {
            let origin = Origin::bind(http2).map_err(no_port)?;
            terms.endpoints.iter_mut().for_each(|endpoint| endpoint.port = origin.port());
            origins.insert(name.clone(), origin);
        }
        self.registry.forget();
        let (mut snapshot, _) =
            Snapshot::first(&config, Documents::default(), &self.registry, &StateFile::tried())?;
        for (number, route) in snapshot.routes.iter_mut().enumerate() {
            route.pipeline.wrap(|policy| around(number, policy));
        }
        snapshot.prepare();
        let (config, snapshot) = (Arc::new(config), Arc::new(snapshot));
        Ok(Scene { config, snapshot, notes: Arc::default(), origins, http2 })
    }
}

impl Scene {
    /// Raises the curtain: everything of it is on this thread, and ends with the future.
    pub fn play<T>(&self, act: impl AsyncFnOnce(&Playing<'_>) -> T) -> Result<T, StartError> {
        let machine = |error: std::io::Error| StartError::Machine(format!("can't play a case: {error}"));
        let options = tokio::runtime::LocalOptions::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(options)
            .map_err(machine)?;
        runtime.block_on(async {
            let playing = self.open().await.map_err(machine)?;
            Ok(act(&playing).await)
        })
    }

    async fn open(&self) -> std::io::Result<Playing<'_>> {
        for origin in self.origins.values() {
            origin.open()?;
        }
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = front.local_addr()?;
        let worker = Worker::new(WORKER, self.snapshot.clone(), Metrics::default().worker());
        let edition = Edition {
            config: self.config.clone(),
            snapshot: self.snapshot.clone(),
            sockets: Vec::new(), // connections are brought to it one by one
            stage: Phase::Serving,
        };
        let (alive, _) = alive();
        worker.enter(&edition, &alive)?;
        Ok(Playing { scene: self, worker, front, address })
    }

    /// What plugins with such isolates have used, on all routes.
    pub fn totals(&self, isolate: IsolateMode) -> Totals {
        let plugins = self.config.plugins.values().filter(|plugin| plugin.isolate == isolate);
        let live = plugins.filter_map(|plugin| self.snapshot.plugins.get(&plugin.name));
        let accounts = live.flat_map(|plugin| &plugin.accounts);
        accounts.map(|account| account.totals()).fold(Totals::default(), Totals::and)
    }

    /// How isolates become fresh again; and why `configure` runs in each, if it does.
    pub fn isolates(&self) -> (Option<Reset>, Option<String>) {
        let plugin = self.snapshot.plugins.values().next();
        (plugin.and_then(|plugin| plugin.reset.clone()), plugin.and_then(|plugin| plugin.no_image.clone()))
    }

    /// Puts something into a store.
    async fn put(&self, store: &str, key: &str, value: &str) {
        let known = self.snapshot.stores.iter().find(|(terms, _)| terms.name == store);
        if let Some((_, memory)) = known {
            // What does not fit is not there, and the case says so.
            let _ = memory.set(key, Bytes::copy_from_slice(value.as_bytes()), Life::Usual).await;
        }
    }
}

impl Playing<'_> {
    /// Puts into stores what the case says.
    pub async fn fill(&self, case: &Case) {
        for (store, held) in &case.kv {
            for (key, value) in held {
                self.scene.put(store, key, value).await;
            }
        }
    }

    /// Does one step, and waits until nobody has anything to do with it any more.
    pub async fn step(&self, step: &Step) -> Outcome {
        if !step.wait.is_zero() {
            tokio::time::sleep(step.wait).await;
        }
        self.cast(step);
        self.scene.notes.begin(step.request.consumer.as_ref());
        let response = match step.tick {
            true => {
                self.tick().await;
                None
            }
            false => Some(visit::visit(self, &step.request).await),
        };
        let seen = self.scene.origins.iter().map(|(name, origin)| (name.clone(), origin.seen()));
        Outcome { response, seen: seen.collect(), notes: self.scene.notes.take() }
    }

    /// Tells upstreams what they answer from now on; they have seen nothing yet.
    pub fn cast(&self, step: &Step) {
        for (name, origin) in &self.scene.origins {
            match name.as_str() {
                ORIGIN => origin.answer_with(vec![step.answer.clone()]),
                name => origin.answer_with(step.fetched.get(name).cloned().unwrap_or_default()),
            }
        }
    }

    /// A client at the listener of this number. Whoever has something to do for it holds `alive`.
    pub async fn enter(&self, ask: &Ask, listener: usize, alive: Alive) -> Result<Visitor, String> {
        visit::enter(self, ask, listener, alive).await
    }

    /// Calls what is called beside all exchanges.
    async fn tick(&self) {
        let world = self.worker.world();
        for plugin in self.scene.snapshot.plugins.values() {
            if plugin.tickers.is_empty() {
                let none = Failure::new(FailureKind::Contract, "the policy has no `on_tick`");
                self.scene.notes.note_tick(Err(&none));
            }
            for ticker in &plugin.tickers {
                let ticked = ticker.tick(world.fetch(), None).await;
                self.scene.notes.note_tick(ticked.as_ref().copied());
            }
        }
    }
}
