//! The policies of all attachments: plugins loaded, settings checked, built-in ones made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limen_config::{Attachment, Component, ConfigError, LeftOut, Target};
use limen_policy::native::{Documents, Kept, Materials, Storeroom};
use limen_policy::vault::Vault;
use limen_policy::{FailureKind, Policy, SecretPlace, native};
use limen_wasm::meters::Meters;
use limen_wasm::{
    Account, Cache, Counted, Keeper, NamedStore, Plugin, Refused, Registry, Reset, Ticker, WasmPolicy,
};

use crate::component::Fetched;
use crate::progress::{Progress, Step, Superseded};
use crate::settings;

/// What the policies of a configuration became.
pub struct Policies {
    /// The plugins that are in force.
    pub live: BTreeMap<String, LivePlugin>,
    pub kept_back: Vec<KeptBack>,
    /// Those that nothing names and that can't be used.
    pub left_out: Vec<LeftOut>,
    /// Whether any of them calls upstreams itself.
    pub calls_out: bool,
    /// Those of them that no section says anything of, by name.
    pub upstreams: BTreeMap<String, limen_config::Upstream>,
    /// Where they look for what no log tells.
    pub secrets: Vec<SecretPlace>,
    seated: BTreeMap<Seat, Box<dyn Policy>>,
}

/// A plugin as it is in force.
pub struct LivePlugin {
    pub version: Arc<Plugin>,
    /// Where that came from.
    pub component: Component,
    /// Why `configure` runs in each new isolate, where it does.
    pub no_image: Option<String>,
    /// How its isolates become fresh again, where it is attached.
    pub reset: Option<Reset>,
    /// What it has used, by route; and in its ticks.
    pub accounts: Vec<Arc<Account>>,
    /// Who holds it to its limits, where it is attached.
    pub keeper: Option<Arc<Keeper>>,
    /// What it counts of its own.
    pub meters: Option<Arc<Meters>>,
    /// What its isolates keep for one another, if it is granted that.
    pub cache: Option<Arc<Cache>>,
    /// What is called beside all exchanges, one for all attachments with the same settings, and how often.
    pub tickers: Vec<Ticker>,
    pub tick: Duration,
    /// Whether it may call upstreams.
    pub calls_out: bool,
    /// What it did of its own accord, over all its versions.
    pub counted: Arc<Counted>,
}

/// A plugin whose new version can't be used, and that stays on its last good one.
pub struct KeptBack {
    pub plugin: String,
    pub live: String,
    pub because: String,
    /// It may be good in a moment, with nothing changed here.
    pub may_pass: bool,
}

/// What policies are made with, besides what is written of them.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub registry: &'a Registry,
    pub vault: &'a Vault,
    pub documents: &'a Documents,
    pub kept: &'a Kept,
    pub store: Storeroom<'a>,
    /// What plugins may be granted of those.
    pub stores: &'a [NamedStore],
    pub upstreams: &'a BTreeMap<String, limen_config::Upstream>,
    /// Who is told what takes long.
    pub progress: &'a Progress,
}

/// Where an attachment stands: its route, and its place there.
type Seat = (usize, usize);
type Seated = Vec<(Seat, Box<dyn Policy>)>;

/// How often a plugin ticks that says nothing else.
const TICK: Duration = Duration::from_secs(30);

impl Policies {
    /// `last_good` are the plugins of the running snapshot, which stand in for versions that can't be used.
    pub fn load(
        plugins: &BTreeMap<String, limen_config::Plugin>,
        mut fetched: Fetched<'_>,
        routes: &[limen_config::Route],
        last_good: Option<&BTreeMap<String, LivePlugin>>,
        means: Means<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Result<Self, Superseded> {
        let mut policies = Policies {
            live: BTreeMap::new(),
            kept_back: Vec::new(),
            left_out: Vec::new(),
            calls_out: false,
            upstreams: BTreeMap::new(),
            secrets: Vec::new(),
            seated: BTreeMap::new(),
        };
        for plugin in plugins.values() {
            means.progress.go_on()?;
            let last_good = last_good.and_then(|plugins| plugins.get(&plugin.name));
            let bytes = fetched.read(plugin);
            match Loaded::load(plugin, bytes, routes, last_good, means) {
                Ok(Loaded { plugin: live, policies: seated, kept_back }) => {
                    policies.seated.extend(seated);
                    policies.kept_back.extend(kept_back);
                    policies.live.insert(plugin.name.clone(), live);
                }
                Err(of_plugin) if plugin.is_described || is_used(plugin, routes) => errors.extend(of_plugin),
                Err(of_plugin) => policies.left_out.push(LeftOut {
                    file: plugin.component.file().unwrap_or(Path::new("")).to_owned(),
                    because: reasons(&of_plugin),
                }),
            }
        }
        for (seat, attachment) in attachments(routes) {
            if let Target::Native(name) = &attachment.target {
                let route = routes.get(seat.0).map_or("", |route| &*route.name);
                match build_native(name, attachment, route, means) {
                    Ok(policy) => {
                        policies.calls_out |= policy.upstream().is_some();
                        if let Some(own) = policy.own_upstream() {
                            let mut own = own.clone();
                            own.place = attachment.place.clone();
                            own.tls.place = attachment.place.clone();
                            policies.upstreams.insert(own.name.clone(), own);
                        }
                        policies.secrets.extend(policy.secrets());
                        policies.seated.insert(seat, policy);
                    }
                    Err(error) => errors.push(error),
                }
            }
        }
        policies.calls_out |= policies.live.values().any(|plugin| plugin.calls_out);
        Ok(policies)
    }

    /// The policy of this place on this route, once.
    pub fn take(&mut self, route: usize, place: usize) -> Option<Box<dyn Policy>> {
        self.seated.remove(&(route, place))
    }
}

impl LivePlugin {
    /// One more attachment of it.
    fn note(&mut self, policy: &WasmPolicy, registry: &Registry) {
        self.account(policy.account());
        // What can't be rewound is what an operator wants to know of.
        if !matches!(self.reset, Some(Reset::MadeAnew { .. })) {
            self.reset = Some(policy.reset());
        }
        self.keeper = Some(policy.keeper().clone());
        let is_known = |ticker: &Ticker| self.tickers.iter().any(|known| known.is_same(ticker));
        if let Some(ticker) = registry.ticker(policy).filter(|ticker| !is_known(ticker)) {
            self.account(ticker.account());
            self.tickers.push(ticker);
        }
    }

    fn account(&mut self, account: &Arc<Account>) {
        if !self.accounts.iter().any(|known| Arc::ptr_eq(known, account)) {
            self.accounts.push(account.clone());
        }
    }
}

/// One plugin with all its attachments, every one of them from the same version.
struct Loaded {
    plugin: LivePlugin,
    policies: Seated,
    kept_back: Option<KeptBack>,
}

impl Loaded {
    fn load(
        plugin: &limen_config::Plugin,
        bytes: Result<Vec<u8>, ConfigError>,
        routes: &[limen_config::Route],
        last_good: Option<&LivePlugin>,
        means: Means<'_>,
    ) -> Result<Self, Vec<ConfigError>> {
        let new = open(plugin, bytes, means);
        let because = match new.and_then(|version| {
            let (policies, plugin) = attach(plugin, &version, routes, means)?;
            Ok(Loaded { plugin, policies, kept_back: None })
        }) {
            Ok(loaded) => return Ok(loaded),
            Err(errors) => errors,
        };
        // The settings may be at fault, and then the last good version refuses them as well.
        let Some(LivePlugin { version, component, .. }) = last_good else { return Err(because) };
        // A grant that was taken back is taken back from that one as well.
        if version.check_grants(&plugin.grants).is_err() {
            return Err(because);
        }
        let Ok((policies, live)) = attach(plugin, version, routes, means) else {
            return Err(because);
        };
        let live = LivePlugin { component: component.clone(), ..live };
        let kept_back = KeptBack {
            plugin: plugin.name.clone(),
            live: version.id(),
            because: reasons(&because),
            may_pass: because.iter().any(|error| error.may_pass),
        };
        Ok(Loaded { plugin: live, policies, kept_back: Some(kept_back) })
    }
}

fn reasons(errors: &[ConfigError]) -> String {
    let reasons: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    reasons.join("; ")
}

/// The component of a plugin as it is now.
fn open(
    plugin: &limen_config::Plugin,
    bytes: Result<Vec<u8>, ConfigError>,
    means: Means<'_>,
) -> Result<Arc<Plugin>, Vec<ConfigError>> {
    let at_fault = |message: String| {
        ConfigError::new(plugin.place.clone(), format!("plugin `{}`: {message}", plugin.name))
    };
    let file = plugin.component.place();
    let bytes = bytes.map_err(|error| vec![error])?;
    if !means.registry.is_compiled(&bytes) {
        means.progress.tell(Step::Compiling { plugin: plugin.name.clone() });
    }
    let loaded = means.registry.plugin(bytes).and_then(|version| {
        version.check_grants(&plugin.grants)?;
        Ok(version)
    });
    if let (Ok(version), Some(_)) = (&loaded, plugin.tick)
        && !version.ticks()
    {
        let fault = at_fault(format!("it has a `tick`, and the component has no hook for it ({file})"));
        return Err(vec![fault.hint("give the policy an `on_tick`, or leave `tick` out")]);
    }
    loaded.map_err(|error| {
        let fault = at_fault(format!("{} ({file})", error.message));
        vec![match error.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }]
    })
}

/// A version of a plugin with the settings of every attachment that uses it.
fn attach(
    plugin: &limen_config::Plugin,
    version: &Arc<Plugin>,
    routes: &[limen_config::Route],
    means: Means<'_>,
) -> Result<(Seated, LivePlugin), Vec<ConfigError>> {
    let Means { registry, vault, stores, progress, .. } = means;
    let mut policies: Seated = Vec::new();
    let mut live = LivePlugin {
        version: version.clone(),
        component: plugin.component.clone(),
        no_image: None,
        reset: None,
        accounts: Vec::new(),
        keeper: None,
        meters: registry.meters(version, plugin),
        cache: registry.cache(plugin),
        tickers: Vec::new(),
        tick: plugin.tick.unwrap_or(TICK),
        calls_out: !plugin.grants.fetch.is_empty(),
        counted: registry.counted(&plugin.name),
    };
    let mut errors = Vec::new();
    let checker = settings::Checker::new(version.schema(), &plugin.name).map_err(|what| {
        vec![ConfigError::new(plugin.place.clone(), format!("plugin `{}`: {what}", plugin.name))]
    })?;
    for (seat, attachment) in attachments(routes) {
        if !is_of(attachment, plugin) {
            continue;
        }
        let wrong = checker.check(&attachment.settings);
        if !wrong.is_empty() {
            errors.extend(wrong);
            continue;
        }
        let route = routes.get(seat.0).map_or("", |route| &*route.name);
        let settings = attachment.settings.value();
        if !registry.is_configured(version, settings) {
            progress.tell(Step::Configuring { plugin: plugin.name.clone(), route: route.to_owned() });
        }
        match registry.policy(version, plugin, settings, route, vault, stores) {
            Ok(policy) => {
                live.note(&policy, registry);
                if let limen_wasm::Start::ConfigureInEach { because } = policy.start() {
                    tracing::warn!(
                        plugin = plugin.name,
                        route,
                        "no image of its configured memory, `configure` runs in each new isolate: {because}"
                    );
                    live.no_image = Some(because.clone());
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
    if errors.is_empty() { Ok((policies, live)) } else { Err(errors) }
}

fn build_native(
    name: &str,
    attachment: &Attachment,
    route: &str,
    means: Means<'_>,
) -> Result<Box<dyn Policy>, ConfigError> {
    let Some(native) = native::find(name) else {
        return Err(ConfigError::new(attachment.place.clone(), format!("no built-in policy `{name}`")));
    };
    // One that the configuration names is the same wherever it is attached.
    let whose = if attachment.name == name { format!("{route}/{name}") } else { attachment.name.clone() };
    let folder = attachment.place.file.parent().unwrap_or(Path::new(""));
    let materials = Materials::new(&whose, folder, means.vault, means.documents, means.kept, means.store);
    let wrong = |pointer: &str, message: &str| {
        let place = attachment.settings.place(pointer).clone();
        ConfigError::new(place, format!("policy `{name}`: {message}"))
    };
    let policy = native
        .build(attachment.settings.value(), &materials)
        .map_err(|error| wrong(&error.pointer, &error.message).maybe_hint(error.hint))?;
    let is_there = |called: &str| policy.own_upstream().is_some() || means.upstreams.contains_key(called);
    match policy.upstream().filter(|called| !is_there(called)) {
        Some(called) => Err(wrong("/upstream", &format!("there is no [upstream.{called}]"))),
        None => Ok(policy),
    }
}

fn is_used(plugin: &limen_config::Plugin, routes: &[limen_config::Route]) -> bool {
    attachments(routes).any(|(_, attachment)| is_of(attachment, plugin))
}

fn is_of(attachment: &Attachment, plugin: &limen_config::Plugin) -> bool {
    matches!(&attachment.target, Target::Plugin(name) if *name == plugin.name)
}

fn attachments(routes: &[limen_config::Route]) -> impl Iterator<Item = (Seat, &Attachment)> {
    routes.iter().enumerate().flat_map(|(number, route)| {
        route.policies.iter().enumerate().map(move |(place, attachment)| ((number, place), attachment))
    })
}
