//! What is loaded: each component compiled once, each (component, settings) configured once,
//! whatever the number of routes and snapshots that use them. Held weakly: what no snapshot uses any
//! more is gone.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use limen_config::{Grants, IsolateMode, PluginLimits};
use limen_policy::Failure;
use limen_policy::vault::Vault;
use serde_json::Value;

use crate::account::Account;
use crate::capability::Link;
use crate::capability::cache::Cache;
use crate::capability::kv::Stores;
use crate::capability::secrets::GrantedSecret;
use crate::code_cache::CodeCache;
use crate::engine::{Engine, EngineError};
use crate::epochs;
use limen_store::{Memory, Redis, SharedValues, Store};

use crate::fetches::{Counted, Fetches};
use crate::image::{Image, Settings};
use crate::keeper::Keeper;
use crate::meters::Meters;
use crate::plugin::{Digest, LoadError, Plugin, block_on, digest};
use crate::policy::WasmPolicy;
use crate::pool::{IdleCounts, IsolatePool};
use crate::state::Grounds;
use crate::tick::Ticker;

/// Images of one component at a time. Each is compiled and holds a file descriptor; beyond this
/// number `configure` runs in each new isolate.
const MAX_IMAGES: usize = 32;
/// As many are kept though nobody uses them, where somebody wants that.
const KEPT_IMAGES: usize = 8;

pub struct Registry {
    /// Made when the first component comes: a gateway without any reserves no addresses and has no
    /// ticker.
    engine: OnceLock<Arc<Engine>>,
    workers: usize,
    code_cache: limen_config::CodeCache,
    link: Link,
    serves: AtomicBool,
    idle: Arc<IdleCounts>,
    keepers: Shelf<(String, Digest), Keeper>,
    /// By the names of plugin and route; without a route, those of ticks.
    accounts: Shelf<(String, Option<String>), Account>,
    plugins: Shelf<Digest, Plugin>,
    images: Shelf<(Digest, String), Image>,
    pools: Shelf<PoolKey, IsolatePool>,
    stores: Arc<StoreShelf>,
    keeps_images: AtomicBool,
    kept: Mutex<VecDeque<Arc<Image>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    plugin: String,
    digest: Digest,
    settings: String,
    /// Where the secrets and key sets are that it holds: other values are other ones.
    vault: Vec<usize>,
    /// The same of its stores.
    stores: Vec<usize>,
    limits: PluginLimits,
    grants: Grants,
    mode: IsolateMode,
}

/// Why a component can't serve with these settings.
#[derive(Debug)]
pub enum Refused {
    /// Its `configure` says so, or fails.
    ByConfigure(Failure),
    /// It does not start within its limits.
    ByLimits(Failure),
}

impl Registry {
    pub fn new(workers: usize, code_cache: limen_config::CodeCache) -> Self {
        Registry {
            engine: OnceLock::new(),
            workers,
            code_cache,
            link: Link::Serving,
            serves: AtomicBool::new(false),
            idle: IdleCounts::new(workers),
            keepers: Shelf::default(),
            accounts: Shelf::default(),
            plugins: Shelf::default(),
            images: Shelf::default(),
            pools: Shelf::default(),
            stores: Arc::default(),
            keeps_images: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }

    /// One whose components say how much crosses between them and the host ([`Crossed`](crate::Crossed)).
    #[must_use]
    pub fn counting_bytes(self) -> Self {
        Registry { link: Link::Counting, ..self }
    }

    /// From now on workers serve, and what is compiled leaves them their cores.
    pub fn step_back(&self) {
        self.serves.store(true, Ordering::Relaxed);
        if let Some(engine) = self.engine.get() {
            engine.step_back();
        }
    }

    /// Keeps what `configure` left for the settings that were used last, also when nobody uses them: what
    /// comes again needn't be compiled again.
    pub fn keep_images(&self) {
        self.keeps_images.store(true, Ordering::Relaxed);
    }

    /// Begins anew, as far as a plugin can tell once no snapshot is left: nothing has been counted.
    /// (Stores and caches go with the last snapshot that has them.)
    pub fn forget(&self) {
        if let Some(engine) = self.engine.get() {
            engine.counters.forget();
        }
    }

    /// The compiled component of these bytes.
    pub fn plugin(&self, bytes: Vec<u8>) -> Result<Arc<Plugin>, LoadError> {
        let digest = digest(&bytes);
        match self.plugins.get(&digest) {
            Some(plugin) => Ok(plugin),
            None => {
                let engine = self.engine()?;
                Ok(self.plugins.put(digest, Plugin::load(engine, bytes)?))
            }
        }
    }

    /// Whether these bytes were compiled before: then they are loaded at once.
    pub fn is_compiled(&self, bytes: &[u8]) -> bool {
        let digest = digest(bytes);
        let on_disk =
            |engine: &Arc<Engine>| engine.code_cache().is_some_and(|it| it.has(engine.wasmtime(), &digest));
        self.plugins.get(&digest).is_some() || self.engine().is_ok_and(on_disk)
    }

    /// Whether it was configured with these settings before, and what came of that is at hand.
    pub fn is_configured(&self, plugin: &Plugin, settings: &Value) -> bool {
        self.images.get(&(plugin.digest, settings.to_string())).is_some()
    }

    /// The component as a policy of a route with these settings, tried once.
    pub fn policy(
        &self,
        plugin: &Plugin,
        config: &limen_config::Plugin,
        settings: &Value,
        route: &str,
        vault: &Vault,
        stores: &[NamedStore],
    ) -> Result<WasmPolicy, Refused> {
        let name = config.name.as_str();
        let keeper =
            self.keepers.get_or((name.to_owned(), plugin.digest), || Keeper::new(name, self.workers));
        let account = self.account(name, Some(route));
        let granted = config.grants.secrets.iter();
        let secrets = granted.filter_map(|(name, grant)| {
            Some(GrantedSecret { secret: vault.secrets.get(name)?.clone(), grant: *grant })
        });
        let secrets: Vec<_> = secrets.collect();
        let key_sets = config.grants.key_sets.iter().filter_map(|name| vault.key_sets.get(name).cloned());
        let key_sets: Vec<_> = key_sets.collect();
        let granted = stores.iter().filter(|(terms, _)| config.grants.kv.contains(&terms.name));
        let stores: Vec<_> = granted.map(|(terms, store)| (terms.name.clone(), store.clone())).collect();
        let key = PoolKey {
            plugin: config.name.clone(),
            digest: plugin.digest,
            settings: settings.to_string(),
            vault: secrets
                .iter()
                .map(|granted| address(&granted.secret))
                .chain(key_sets.iter().map(address))
                .collect(),
            stores: stores.iter().map(|(_, store)| address(store)).collect(),
            limits: config.limits,
            grants: config.grants.clone(),
            mode: config.isolate,
        };
        if let Some(pool) = self.pools.get(&key) {
            return Ok(WasmPolicy::new(pool, keeper, account));
        }
        let engine = self.engine().map_err(no_engine).map_err(Refused::ByLimits)?;
        let image = self.image(engine, plugin, settings).map_err(Refused::ByConfigure)?;
        let grounds = Grounds {
            keeper: keeper.clone(),
            limits: config.limits,
            settings: image.settings.clone(),
            counters: engine.counters.of(&config.name),
            cache: self.cache(config),
            secrets,
            key_sets,
            is_timed: plugin.imports("timing"),
            fetches: Fetches::new(&engine.counted.of(&config.name), &config.grants.fetch),
            stores: Stores { granted: stores, all: Some(self.stores.clone()) },
            meters: config.grants.metrics.then(|| engine.meters.of(&config.name, plugin.metrics())),
        };
        epochs::expect(config.limits.cpu);
        let pool = IsolatePool::new(
            engine.clone(),
            image,
            Arc::new(grounds),
            config.limits,
            config.isolate,
            self.idle.clone(),
        );
        // What could not start for a request is found here, while nobody waits for it.
        block_on(pool.take())
            .map_err(|error| Failure::new(limen_policy::FailureKind::NoIsolate, error.to_string()))
            .and_then(|isolate| isolate)
            .map_err(Refused::ByLimits)?;
        Ok(WasmPolicy::new(self.pools.put(key, pool), keeper, account))
    }

    /// What is called beside all exchanges; none if the component has no such hook.
    pub fn ticker(&self, policy: &WasmPolicy) -> Option<Ticker> {
        let pool = policy.pool();
        pool.image.exports.tick?;
        Some(Ticker::new(pool.clone(), self.account(pool.grounds.plugin(), None)))
    }

    fn account(&self, plugin: &str, route: Option<&str>) -> Arc<Account> {
        let key = (plugin.to_owned(), route.map(str::to_owned));
        self.accounts.get_or(key, || Account::new(plugin, route, self.workers))
    }

    /// The store of this name, where it is now; with these terms, if there is none yet. Without a way to what is
    /// shared it is here.
    pub fn store(&self, terms: &limen_config::Store, shared: Option<&Arc<Redis>>) -> Arc<dyn Store> {
        let shared = shared.filter(|_| terms.shared);
        let key = (terms.name.clone(), shared.map(address));
        self.stores.get(&key).unwrap_or_else(|| {
            let store: Arc<dyn Store> = match shared {
                Some(redis) => Arc::new(SharedValues::new(redis.clone(), terms)),
                None => Arc::new(Memory::new(terms)),
            };
            self.stores.put_shared(key, store)
        })
    }

    /// What a plugin of this name has done of its own accord, over all its versions.
    pub fn counted(&self, plugin: &str) -> Arc<Counted> {
        self.engine.get().map(|engine| engine.counted.of(plugin)).unwrap_or_default()
    }

    /// What a plugin counts of its own, if it is granted that and has any.
    pub fn meters(&self, plugin: &Plugin, config: &limen_config::Plugin) -> Option<Arc<Meters>> {
        let granted = config.grants.metrics && !plugin.metrics().is_empty();
        self.engine.get().filter(|_| granted).map(|engine| engine.meters.of(&config.name, plugin.metrics()))
    }

    /// What a plugin caches, if it is granted that.
    pub fn cache(&self, config: &limen_config::Plugin) -> Option<Arc<Cache>> {
        let (engine, granted) = (self.engine.get()?, config.grants.cache?);
        Some(engine.caches.of(&config.name, granted.size))
    }

    fn engine(&self) -> Result<&Arc<Engine>, EngineError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::new(CodeCache::open(&self.code_cache), self.link)?;
        tracing::debug!("isolates that can't be rewound are reset by: {}", engine.memory_reset());
        if self.serves.load(Ordering::Relaxed) {
            engine.step_back();
        }
        Ok(self.engine.get_or_init(|| engine))
    }

    fn image(&self, engine: &Engine, plugin: &Plugin, settings: &Value) -> Result<Arc<Image>, Failure> {
        let key = (plugin.digest, settings.to_string());
        if let Some(image) = self.images.get(&key) {
            return Ok(image);
        }
        let images = self.images.count(|(digest, _)| *digest == plugin.digest);
        let settings = Arc::new(Settings { json: key.1.clone(), value: settings.clone() });
        let image = Image::make(engine, plugin, settings, images < MAX_IMAGES)?;
        let image = self.images.put(key, image);
        if self.keeps_images.load(Ordering::Relaxed) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.truncate(KEPT_IMAGES - 1);
            kept.push_front(image.clone());
        }
        Ok(image)
    }
}

/// What a pool holds stays where it is as long as the pool is there.
fn address<T: ?Sized>(value: &Arc<T>) -> usize {
    Arc::as_ptr(value).cast::<()>() as usize
}

fn no_engine(error: EngineError) -> Failure {
    Failure::new(limen_policy::FailureKind::NoIsolate, error.to_string())
}

/// Stores by their names, and where they are: in this process, or in which Redis.
pub(crate) type StoreShelf = Shelf<(String, Option<usize>), dyn Store>;

/// A store of a configuration.
pub type NamedStore = (limen_config::Store, Arc<dyn Store>);

/// Values that live as long as somebody else holds them.
pub(crate) struct Shelf<K, V: ?Sized>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V: ?Sized> Default for Shelf<K, V> {
    fn default() -> Self {
        Shelf(Mutex::default())
    }
}

impl<K: Hash + Eq, V> Shelf<K, V> {
    fn get_or(&self, key: K, new: impl FnOnce() -> V) -> Arc<V> {
        match self.get(&key) {
            Some(value) => value,
            None => self.put(key, new()),
        }
    }

    fn put(&self, key: K, value: V) -> Arc<V> {
        self.put_shared(key, Arc::new(value))
    }
}

impl<K: Hash + Eq, V: ?Sized> Shelf<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key)?.upgrade()
    }

    fn put_shared(&self, key: K, value: Arc<V>) -> Arc<V> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|_, value| value.strong_count() > 0);
        values.insert(key, Arc::downgrade(&value));
        value
    }

    pub(crate) fn count(&self, wanted: impl Fn(&K) -> bool) -> usize {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().filter(|(key, value)| wanted(key) && value.strong_count() > 0).count()
    }
}
