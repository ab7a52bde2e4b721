//! One immutable meaning of one configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_config::{
    Attachment, Config, ConfigError, Errors, PathRules, PublicKey, RouteLimits, RoutePath, RouteTimeouts,
    Segment, Target,
};
use limen_policy::{FailureKind, Parameter, Parameters, Policy, RouteFacts, TargetMemory, native};
use limen_wasm::{Plugin, Refused, Registry};

use crate::component;
use crate::head::forwarded::Forwarding;
use crate::listener::Terms;
use crate::observe::{AccessLog, Tracer};
use crate::pipeline::{Attached, Pipeline};
use crate::route::{Action, MirrorState, RouteTable};
use crate::settings;
use crate::upstream::{self, Connector, Upkeep};

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
    /// Whether anybody can read metrics.
    pub metrics: bool,
    /// Kept for the next build, should a plugin's file be broken then.
    pub plugins: BTreeMap<String, LivePlugin>,
    /// Who looks after the upstreams, and whom they ask for names.
    upkeep: Upkeep,
    resolver: limen_config::Resolver,
}

/// A plugin as it is in force.
pub struct LivePlugin {
    pub version: Arc<Plugin>,
    /// Why `configure` runs in each new isolate, where it does.
    pub no_image: Option<String>,
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

/// A plugin whose new version can't be used, and that stays on its last good one.
pub struct KeptBack {
    pub plugin: String,
    pub live: String,
    pub because: String,
}

/// Where an attachment stands: its route, and its place there.
type Seat = (usize, usize);
type Seated = Vec<(Seat, Box<dyn Policy>)>;

impl Snapshot {
    /// Compiles, configures and checks all that a configuration names. What did not change since the
    /// previous snapshot is reused. A plugin whose file is broken, or refuses its settings, stays on
    /// the version of the previous snapshot; without one it is an error, and so is everything else.
    ///
    /// Takes as long as compiling does: never on a worker.
    pub fn build(
        config: &Config,
        previous: Option<&Snapshot>,
        registry: &Registry,
    ) -> Result<(Snapshot, Vec<KeptBack>), Errors> {
        // Without `..`: a new section of the file has to say here what it means.
        let Config {
            file,
            files: _,
            folders: _,
            gateway,
            log,
            trace,
            admin,
            written: _,
            listeners,
            plugins,
            upstreams,
            routes,
        } = config;

        let mut errors = Vec::new();
        let mut kept_back = Vec::new();
        let mut live = BTreeMap::new();
        let mut policies: BTreeMap<Seat, Box<dyn Policy>> = BTreeMap::new();
        for plugin in plugins.values() {
            let last_good = previous.and_then(|previous| previous.plugins.get(&plugin.name));
            let last_good = last_good.map(|live| &live.version);
            match Loaded::load(plugin, &gateway.trust, routes, last_good, registry) {
                Ok(loaded) => {
                    let Loaded { version, no_image, policies: of_plugin, kept_back: last_good } = loaded;
                    policies.extend(of_plugin);
                    kept_back.extend(last_good);
                    live.insert(plugin.name.clone(), LivePlugin { version, no_image });
                }
                Err(plugin_errors) => errors.extend(plugin_errors),
            }
        }
        for (seat, attachment) in attachments(routes) {
            if let Target::Native(name) = &attachment.target {
                match build_native(name, attachment) {
                    Ok(policy) => drop(policies.insert(seat, policy)),
                    Err(error) => errors.push(error),
                }
            }
        }

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
        for terms in upstreams.values() {
            let known = previous
                .and_then(|previous| previous.upstreams.iter().find(|known| known.terms.name == terms.name));
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
        let tracer = trace.as_ref().and_then(|trace| match Tracer::new(trace, running) {
            Ok(tracer) => Some(tracer),
            Err(error) => {
                let message = format!("spans can't be exported: {error}");
                errors.push(ConfigError::new(limen_config::Place::file(file), message));
                None
            }
        });
        let access_log = match log.access.as_ref().map(AccessLog::new).transpose() {
            Ok(access_log) => access_log.map(Arc::new),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        if !errors.is_empty() {
            return Err(errors.into_iter().collect());
        }

        let built_routes = routes.iter().zip(actions).enumerate().map(|(number, (route, action))| {
            let attached = route.policies.iter().enumerate().filter_map(|(place, attachment)| {
                let policy = policies.remove(&(number, place))?;
                let of_plugin = match &attachment.target {
                    Target::Plugin(name) => plugins.get(name).map(|plugin| plugin.on_error),
                    Target::Native(_) => None,
                };
                let on_error = attachment.on_error.or(of_plugin).unwrap_or(limen_config::OnError::Refuse);
                Some(Attached { name: attachment.name.clone(), policy, on_error })
            });
            Route {
                pipeline: Pipeline::new(attached.collect()),
                facts: facts(route, &action),
                path: route.path.to_string(),
                limits: route.limits,
                timeout: route.timeout,
                upgrades: route.upgrades.clone(),
                action,
            }
        });
        let snapshot = Snapshot {
            routes: built_routes.collect(),
            listeners: built_listeners,
            upstreams: built_upstreams,
            paths: gateway.path,
            forwarding: Forwarding::new(gateway),
            request_ids: gateway.request_id.clone(),
            access_log,
            tracer,
            metrics: admin.is_some(),
            plugins: live,
            upkeep: previous.map(|previous| previous.upkeep.clone()).unwrap_or_default(),
            resolver: gateway.resolver.clone(),
        };
        Ok((snapshot, kept_back))
    }

    /// To be called before it goes live: from now on its upstreams are looked after, and no others. Waits
    /// until that has begun, though for no longer than some seconds.
    pub fn prepare(&self) {
        self.upkeep.tend(&self.upstreams, &self.resolver);
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

/// One plugin with all its attachments, every one of them from the same version.
struct Loaded {
    version: Arc<Plugin>,
    no_image: Option<String>,
    policies: Seated,
    kept_back: Option<KeptBack>,
}

impl Loaded {
    fn load(
        plugin: &limen_config::Plugin,
        trust: &[PublicKey],
        routes: &[limen_config::Route],
        last_good: Option<&Arc<Plugin>>,
        registry: &Registry,
    ) -> Result<Self, Vec<ConfigError>> {
        let new = open(plugin, trust, registry);
        let because = match new.and_then(|version| {
            let (policies, no_image) = attach(plugin, &version, routes, registry)?;
            Ok(Loaded { version, no_image, policies, kept_back: None })
        }) {
            Ok(loaded) => return Ok(loaded),
            Err(errors) => errors,
        };
        // The settings may be at fault, and then the last good version refuses them as well.
        let Some(version) = last_good else { return Err(because) };
        // A grant that was taken back is taken back from that one as well.
        if version.check_grants(&plugin.grants).is_err() {
            return Err(because);
        }
        let Ok((policies, no_image)) = attach(plugin, version, routes, registry) else { return Err(because) };
        let reasons: Vec<_> = because.iter().map(|error| error.message.as_str()).collect();
        let kept_back =
            KeptBack { plugin: plugin.name.clone(), live: version.id(), because: reasons.join("; ") };
        Ok(Loaded { version: version.clone(), no_image, policies, kept_back: Some(kept_back) })
    }
}

/// The component of a plugin as its file is now.
fn open(
    plugin: &limen_config::Plugin,
    trust: &[PublicKey],
    registry: &Registry,
) -> Result<Arc<Plugin>, Vec<ConfigError>> {
    let at_fault = |message: String| {
        ConfigError::new(plugin.place.clone(), format!("plugin `{}`: {message}", plugin.name))
    };
    let file = plugin.component.display();
    let bytes = component::read(plugin, trust).map_err(|error| vec![error])?;
    let loaded = registry.plugin(bytes).and_then(|version| {
        version.check_grants(&plugin.grants)?;
        Ok(version)
    });
    loaded.map_err(|error| {
        let fault = at_fault(format!("{} ({file})", error.message));
        vec![match error.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }]
    })
}

/// A version of a plugin with the settings of every attachment that uses it, and why one of them has no
/// image.
fn attach(
    plugin: &limen_config::Plugin,
    version: &Arc<Plugin>,
    routes: &[limen_config::Route],
    registry: &Registry,
) -> Result<(Seated, Option<String>), Vec<ConfigError>> {
    let mut policies: Seated = Vec::new();
    let mut no_image = None;
    let mut errors = Vec::new();
    for (seat, attachment) in attachments(routes) {
        if !matches!(&attachment.target, Target::Plugin(name) if *name == plugin.name) {
            continue;
        }
        let wrong = settings::check(version.schema(), &attachment.settings, &plugin.name);
        if !wrong.is_empty() {
            errors.extend(wrong);
            continue;
        }
        match registry.policy(version, plugin, attachment.settings.value()) {
            Ok(policy) => {
                if let limen_wasm::Start::ConfigureInEach { because } = policy.start() {
                    tracing::warn!(
                        plugin = plugin.name,
                        route = routes.get(seat.0).map(|route| &*route.name),
                        "no image of its configured memory, `configure` runs in each new isolate: {because}"
                    );
                    no_image = Some(because.clone());
                }
                policies.push((seat, Box::new(policy)));
            }
            Err(refused) => {
                let place = attachment.settings.place("").clone();
                let name = &plugin.name;
                errors.push(match refused {
                    Refused::ByConfigure(failure) => {
                        let why = match failure.kind {
                            FailureKind::Failed => failure.reason, // its own words
                            _ => failure.to_string(),
                        };
                        ConfigError::new(place, format!("plugin `{name}` refuses these settings: {why}"))
                    }
                    Refused::ByLimits(failure) => {
                        ConfigError::new(place, format!("plugin `{name}` does not start: {failure}"))
                            .hint(format!("give it more in [plugin.{name}] limits"))
                    }
                });
            }
        }
    }
    if errors.is_empty() { Ok((policies, no_image)) } else { Err(errors) }
}

fn build_native(name: &str, attachment: &Attachment) -> Result<Box<dyn Policy>, ConfigError> {
    let Some(native) = native::find(name) else {
        return Err(ConfigError::new(attachment.place.clone(), format!("no built-in policy `{name}`")));
    };
    (native.build)(attachment.settings.value()).map_err(|error| {
        let place = attachment.settings.place(&error.pointer).clone();
        ConfigError::new(place, format!("policy `{name}`: {}", error.message))
    })
}

fn attachments(routes: &[limen_config::Route]) -> impl Iterator<Item = (Seat, &Attachment)> {
    routes.iter().enumerate().flat_map(|(number, route)| {
        route.policies.iter().enumerate().map(move |(place, attachment)| ((number, place), attachment))
    })
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
    }
}
