//! One immutable meaning of one configuration.

mod policies;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use limen_config::{
    Config, ConfigError, Errors, LeftOut, PathRules, Place, RouteLimits, RoutePath, RouteTimeouts, Segment,
    State, Target,
};
use limen_policy::keys::Keyring;
use limen_policy::native::{self, CacheShelf, Documents, Kept, Storeroom};
use limen_policy::vault::Vault;
use limen_policy::{Parameter, Parameters, RouteFacts, TargetMemory, Thinned};
use limen_store::{Redis, StateFile};
use limen_wasm::{NamedStore, Registry};

use crate::component::{Components, Registries};
use crate::head::forwarded::Forwarding;
use crate::issuers::{Issuer, Issuers};
use crate::listener::Terms;
use crate::observe::audit::Audit;
use crate::observe::{AccessLog, Tracer};
use crate::pipeline::{Attached, Pipeline};
use crate::progress::{Progress, Superseded};
use crate::route::{Action, MirrorState, RouteTable};
use crate::upstream::{self, Connector, Upkeep};
use crate::vault;
pub use policies::{KeptBack, LivePlugin};
use policies::{Means, Policies};

/// Everything that a request needs to know of the configuration. A request sees one snapshot from
/// its first moment to its last.
pub struct Snapshot {
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
    pub upstreams: Vec<Arc<upstream::Shared>>,
    /// How paths are spelt.
    pub paths: PathRules,
    pub forwarding: Forwarding,
    pub request_ids: Option<limen_config::RequestIds>,
    pub access_log: Option<Arc<AccessLog>>,
    pub tracer: Option<Arc<Tracer>>,
    /// Who is told of changes.
    pub audit: Option<Arc<Audit>>,
    /// Whether anybody can read metrics.
    pub metrics: bool,
    /// Whether any policy calls upstreams itself.
    pub calls_out: bool,
    /// Kept for the next build, should a plugin's file be broken then.
    pub plugins: BTreeMap<String, LivePlugin>,
    /// What is of no use in the folder of plugins.
    pub left_out: Vec<LeftOut>,
    /// Kept as long as a configuration names them.
    pub stores: Vec<NamedStore>,
    /// Where those that come from afar are kept.
    components: Arc<Components>,
    /// What policies hold of it.
    pub vault: Vault,
    /// The secret in it that API keys are hashed with.
    pepper: Option<String>,
    /// Whose keys are fetched, and by whom.
    asked: Vec<Issuer>,
    issuers: Issuers,
    /// What built-in policies keep over reloads.
    kept: Arc<Kept>,
    /// What they keep over restarts.
    pub state: Arc<StateFile>,
    /// What gateways share.
    shared: Option<Arc<Redis>>,
    /// Who looks after the upstreams, and whom they ask for names.
    upkeep: Upkeep,
    resolver: limen_config::Resolver,
}

/// What a listener does with a connection.
pub struct Listener {
    pub routes: RouteTable,
    pub terms: Arc<Terms>,
}

pub struct Route {
    pub facts: RouteFacts,
    /// Its pattern, as metrics and traces show it.
    pub path: String,
    pub pipeline: Pipeline,
    pub limits: RouteLimits,
    pub timeout: RouteTimeouts,
    /// The protocols that a client may ask to go on in.
    pub upgrades: Vec<String>,
    pub action: Action,
}

/// Why there is none.
#[derive(Debug)]
pub enum NotBuilt {
    Refused(Errors),
    /// It was given up for a newer one.
    Superseded,
}

impl Snapshot {
    /// The first one of a process.
    pub fn first(
        config: &Config,
        documents: Documents,
        registry: &Registry,
        state: &Arc<StateFile>,
    ) -> Result<(Snapshot, Vec<KeptBack>), Errors> {
        let built = Snapshot::build(config, documents, None, registry, state, &Progress::default());
        built.map_err(|why| match why {
            NotBuilt::Refused(errors) => errors,
            NotBuilt::Superseded => Errors::default(), // by whom?
        })
    }

    /// Compiles, configures and checks all that a configuration names. What did not change since the
    /// previous snapshot is reused. A plugin whose file is broken, or refuses its settings, stays on
    /// the version of the previous snapshot; without one it is an error, and so is everything else.
    ///
    /// What was read of documents already is not read again.
    ///
    /// Takes as long as compiling does: never on a worker. What it does is told as `progress`.
    pub fn build(
        config: &Config,
        documents: Documents,
        previous: Option<&Snapshot>,
        registry: &Registry,
        state: &Arc<StateFile>,
        progress: &Progress,
    ) -> Result<(Snapshot, Vec<KeptBack>), NotBuilt> {
        // Without `..`: a new section of the file has to say here what it means.
        let Config {
            file,
            files: _,
            folders: _,
            left_out,
            gateway,
            log,
            trace,
            admin,
            written: _,
            listeners,
            secrets: _,
            key_sets,
            plugins,
            registries,
            upstreams,
            state: store_terms,
            stores,
            routes,
        } = config;

        let mut errors = Vec::new();
        let vault = vault::open(config, previous.map(|previous| &previous.vault), &mut errors);
        let last_good = previous.map(|previous| &previous.plugins);
        let components = match previous {
            Some(previous) => previous.components.clone(),
            None => Arc::new(Components::new(gateway.code_cache.clone())),
        };
        let registries = Registries { terms: registries, vault: &vault, place: &Place::file(file) };
        let fetched = components.fetch(plugins.values(), &gateway.trust, registries, progress)?;
        progress.has_got();
        let kept = previous.map(|previous| previous.kept.clone()).unwrap_or_default();
        let shared = match share(store_terms, previous) {
            Ok(shared) => shared,
            Err(what) => {
                let message = format!("the `url` of [store]: {what}");
                errors.push(ConfigError::new(Place::file(file), message));
                None
            }
        };
        let stores = stores.values().map(|terms| (terms.clone(), registry.store(terms, shared.as_ref())));
        let stores: Vec<_> = stores.collect();
        let store = Storeroom { terms: store_terms, file: state, shared: shared.as_ref() };
        let means = Means {
            registry,
            vault: &vault,
            documents: &documents,
            kept: &kept,
            store,
            stores: &stores,
            upstreams,
            progress,
        };
        let mut policies = Policies::load(plugins, fetched, routes, last_good, means, &mut errors)?;

        let mut built_listeners = Vec::new();
        for (number, listener) in listeners.iter().enumerate() {
            let before = previous.and_then(|previous| previous.listener(&listener.name));
            match Terms::build(listener, before.map(|before| &*before.terms)) {
                Ok(terms) => {
                    let routes = RouteTable::new(routes, number);
                    built_listeners.push(Listener { routes, terms: Arc::new(terms) });
                }
                Err(error) => errors.push(error),
            }
        }
        let mut built_upstreams = Vec::new();
        let known_upstreams = previous.iter().flat_map(|previous| &previous.upstreams);
        let known_upstreams: BTreeMap<&str, &Arc<upstream::Shared>> =
            known_upstreams.map(|known| (known.terms.name.as_str(), known)).collect();
        for terms in upstreams.values().chain(policies.upstreams.values()) {
            let known = known_upstreams.get(terms.name.as_str()).copied();
            match Connector::new(terms, known.map(|known| &known.connector)) {
                Ok(connector) => {
                    let known = known.map(|known| &**known);
                    built_upstreams.push(Arc::new(upstream::Shared::new(terms, connector, known)));
                }
                Err(error) => errors.push(error),
            }
        }
        let numbers: BTreeMap<&str, usize> =
            upstreams.keys().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let before = previous.iter().flat_map(|previous| &previous.routes);
        let mirrors: BTreeMap<&str, &Arc<MirrorState>> =
            before.filter_map(|route| Some((route.facts.name.as_str(), route.action.mirror()?))).collect();
        let mut actions = Vec::new();
        for route in routes {
            match Action::build(route, &numbers, &mirrors) {
                Ok(action) => actions.push(action),
                Err(error) => errors.push(error),
            }
        }
        let running = previous.and_then(|previous| previous.tracer.as_ref());
        let tracer = trace.as_ref().and_then(|trace| match Tracer::new(trace, &policies.secrets, running) {
            Ok(tracer) => Some(tracer),
            Err(error) => {
                let message = format!("spans can't be exported: {error}");
                errors.push(ConfigError::new(Place::file(file), message));
                None
            }
        });
        let access_log =
            match log.access.as_ref().map(|access| AccessLog::new(access, &policies.secrets)).transpose() {
                Ok(access_log) => access_log.map(Arc::new),
                Err(error) => {
                    errors.push(error);
                    None
                }
            };
        let place = Place::file(file);
        let audit = match log.audit.as_ref().map(|to| Audit::new(to, &place)).transpose() {
            Ok(audit) => audit.map(Arc::new),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        if !errors.is_empty() {
            return Err(NotBuilt::Refused(errors.into_iter().collect()));
        }

        let mut failure_lines: HashMap<&str, Arc<Thinned>> = HashMap::new();
        let built_routes = routes.iter().zip(actions).enumerate().map(|(number, (route, action))| {
            let attached = route.policies.iter().enumerate();
            let attached = attached.filter_map(|(place, attachment)| {
                let policy = policies.take(number, place)?;
                let of_plugin = match &attachment.target {
                    Target::Plugin(name) => plugins.get(name).map(|plugin| plugin.on_error),
                    Target::Native(_) => None,
                };
                let on_error = attachment.on_error.or(of_plugin).unwrap_or(limen_config::OnError::Refuse);
                let lines = failure_lines.entry(&attachment.name).or_default().clone();
                Some(Attached { name: attachment.name.clone(), policy, on_error, lines })
            });
            let attached: Vec<_> = attached.collect();
            let is_timed = attached.iter().any(|attached| attached.policy.wants_timing());
            Route {
                pipeline: Pipeline::new(attached),
                facts: RouteFacts { is_timed, ..facts(route, &action) },
                path: route.path.to_string(),
                limits: route.limits,
                timeout: route.timeout,
                upgrades: route.upgrades.clone(),
                action,
            }
        });
        let routes = built_routes.collect();
        let Policies { live, kept_back, left_out: unusable, calls_out, .. } = policies;
        let asked = key_sets.values().filter(|terms| terms.url().is_some()).filter_map(|terms| {
            Some(Issuer { terms: terms.clone(), keys: vault.key_sets.get(&terms.name)?.clone() })
        });
        let asked = asked.collect();
        let snapshot = Snapshot {
            routes,
            listeners: built_listeners,
            upstreams: built_upstreams,
            paths: gateway.path,
            forwarding: Forwarding::new(gateway),
            request_ids: gateway.request_id.clone(),
            access_log,
            tracer,
            audit,
            metrics: admin.is_some(),
            calls_out,
            plugins: live,
            left_out: left_out.iter().cloned().chain(unusable).collect(),
            stores,
            components,
            vault,
            pepper: store_terms.pepper.clone(),
            asked,
            issuers: previous.map(|previous| previous.issuers.clone()).unwrap_or_default(),
            kept,
            state: state.clone(),
            shared,
            upkeep: previous.map(|previous| previous.upkeep.clone()).unwrap_or_default(),
            resolver: gateway.resolver.clone(),
        };
        Ok((snapshot, kept_back))
    }

    /// To be called before it goes live: from now on its upstreams are looked after and its issuers of tokens
    /// asked, and no others, its stores are as it has them, what is over is forgotten, and keys are made with its pepper.
    /// Waits until that has begun, though for no longer than some seconds.
    pub fn prepare(&self) {
        self.issuers.ask(&self.asked);
        self.upkeep.tend(&self.upstreams, &self.resolver);
        if let Some(shared) = &self.shared {
            shared.start();
        }
        for (terms, store) in &self.stores {
            store.adopt(terms);
        }
        native::forget_the_past(&self.state);
        if let Some(keyring) = self.keyring() {
            let pepper = self.pepper.as_ref().and_then(|name| self.vault.secrets.get(name));
            keyring.adopt(pepper.map(|secret| &**secret));
        }
    }

    /// Tells the log what is left out that was not in the snapshot before.
    pub fn tell_left_out(&self, previous: Option<&Snapshot>) {
        let known = previous.map_or(&[][..], |previous| &previous.left_out);
        for LeftOut { file, because } in self.left_out.iter().filter(|left_out| !known.contains(left_out)) {
            tracing::warn!("left out of the plugins, {}: {because}", file.display());
        }
    }

    /// The caches of its policies, by name.
    pub fn caches(&self) -> Vec<(String, Arc<CacheShelf>)> {
        self.kept.all()
    }

    /// Puts on the disk what policies have not put there yet.
    pub fn save(&self) {
        self.kept.save();
    }

    /// The way to what gateways share, if they share anything.
    pub fn shared(&self) -> Option<&Redis> {
        self.shared.as_deref()
    }

    /// All API keys, if a policy asks for them.
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        self.kept.keyring(self.shared.as_ref().filter(|_| !self.state.is_tried()))
    }

    fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| *listener.terms.name == *name)
    }

    pub fn upstream_name(&self, number: usize) -> &str {
        self.upstreams.get(number).map_or("", |upstream| &upstream.terms.name)
    }

    /// Each plugin with the version that is in force, for the log.
    pub fn versions(&self) -> String {
        let versions: Vec<_> =
            self.plugins.iter().map(|(name, plugin)| format!("{name}={}", plugin.version.id())).collect();
        versions.join(" ")
    }

    pub fn plugin_count(&self) -> usize {
        self.plugins.len()
    }
}

impl From<Errors> for NotBuilt {
    fn from(errors: Errors) -> Self {
        NotBuilt::Refused(errors)
    }
}

impl From<Superseded> for NotBuilt {
    fn from(_: Superseded) -> Self {
        NotBuilt::Superseded
    }
}

/// The way to what gateways share: the one there is, as long as the terms are the same.
fn share(terms: &State, previous: Option<&Snapshot>) -> Result<Option<Arc<Redis>>, String> {
    let known = previous.and_then(|previous| previous.shared.as_ref());
    match known.filter(|known| known.terms() == terms) {
        Some(known) => Ok(Some(known.clone())),
        None => Ok(Redis::new(terms)?.map(Arc::new)),
    }
}

fn facts(route: &limen_config::Route, action: &Action) -> RouteFacts {
    let parameters = match &route.path {
        RoutePath::Pattern(pattern) => {
            let segments = pattern.segments.iter().enumerate();
            let named = segments.filter_map(|(segment, text)| match text {
                Segment::Parameter(name) => Some(Parameter { name: name.clone(), segment }),
                Segment::Literal(_) => None,
            });
            Parameters::Segments(named.collect())
        }
        RoutePath::Regex(regex) => Parameters::Groups(regex.pattern.regex.clone()),
    };
    let target = match &parameters {
        Parameters::Segments(none) if none.is_empty() && !action.remembers_path() => TargetMemory::Forgotten,
        _ => TargetMemory::Kept,
    };
    RouteFacts {
        name: route.name.clone(),
        upstream: route.action.upstream().map(str::to_owned),
        parameters,
        target,
        is_timed: false,
        fetch: None, // each worker's own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_superseded_goes_on_with_no_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("limen.toml");
        let text = "[[listener]]\naddress = '127.0.0.1:0'\n[plugin.none]\ncomponent = 'none.wasm'\n\
                    [upstream.o]\nendpoints = ['http://127.0.0.1:1']\n\
                    [[route]]\npath = '/'\npolicies = ['none']\nupstream = 'o'\n";
        std::fs::write(&file, text).unwrap();
        let config = crate::load_config(&file).unwrap();
        let registry = Registry::new(1, limen_config::CodeCache { folder: None, size: 0 });
        let progress = Progress::default();
        let build = || {
            let documents = Documents::default();
            Snapshot::build(&config, documents, None, &registry, &StateFile::tried(), &progress).err()
        };
        assert!(matches!(build(), Some(NotBuilt::Refused(errors)) if errors.len() == 1));
        progress.supersede();
        assert!(matches!(build(), Some(NotBuilt::Superseded)));
    }
}
