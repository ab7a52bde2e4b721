//! From a path to a [`Config`]: open the files, read every section of all of them, check how they
//! fit together.

use std::path::Path;

use crate::files::Files;
use crate::include::{self, Included, Opened};
use crate::listener::Listener;
use crate::plugin_folder::PluginFolder;
use crate::policy::Policy;
use crate::request::{RouteLimits, RouteTimeouts};
use crate::route::Defaults;
use crate::scope::{Grantable, Named, Scope, Unique};
use crate::section::{Section, Sink};
use crate::source::{Document, Text};
use crate::trace::Trace;
use crate::twice::Asked;
use crate::value::table;
use crate::{
    Admin, Config, ConfigError, Errors, Gateway, KeySet, Log, Natives, Place, Plugin, Registry, Route,
    Secret, State, Store, Upstream, check,
};

pub(crate) fn load(path: &Path, natives: &Natives<'_>) -> Result<Config, Errors> {
    let sink = Sink::default();
    let text = Text::open(path, 0).map_err(|error| Errors::from_iter([*error]))?;
    let (main, mut syntax) = Document::parse(&text);
    let Opened { files, folders, complete } = include::open(&main, &sink, &mut syntax);
    let (texts, included): (Vec<Text>, Vec<Included>) = files.into_iter().unzip();
    let documents = texts.iter().map(|text| {
        let (document, errors) = Document::parse(text);
        syntax.extend(errors);
        document
    });
    let included: Vec<(Document<'_>, Included)> = documents.zip(included).collect();

    let complete = Complete { names: complete, files: complete && syntax.is_empty() };
    let config = read(&main, &included, natives, complete, &sink);

    let sources = std::iter::once(&main.source).chain(included.iter().map(|(document, _)| &document.source));
    let errors = sink.into_errors(syntax, sources);
    match config {
        Some(mut config) if errors.is_empty() => {
            config.folders.extend(folders);
            Ok(config)
        }
        None if errors.is_empty() => {
            Err(Errors::from_iter([ConfigError::new(Place::file(path), "not a valid configuration")]))
        }
        _ => Err(errors),
    }
}

/// `[admin]` of a main file, whatever mistakes stand beside it.
pub(crate) fn admin(path: &Path) -> Result<Option<Admin>, Errors> {
    let sink = Sink::default();
    let text = Text::open(path, 0).map_err(|error| Errors::from_iter([*error]))?;
    let (main, syntax) = Document::parse(&text);
    let addresses = Unique::new("listener address");
    let root = Section::root(&main, &sink);
    let admin = root.optional("admin", table(|section| Admin::read(section, &addresses)));
    // Where the TOML is broken it may only seem not to be there, or to say nothing of its address.
    let syntax = match &admin {
        Some(Some(Admin { place, .. })) if main.source.is_trusted(place) => {
            syntax.into_iter().filter(|error| main.source.same_table(place, &error.place)).collect()
        }
        _ => syntax,
    };
    let errors = sink.into_errors(syntax, std::iter::once(&main.source));
    match admin {
        Some(admin) if errors.is_empty() => Ok(admin),
        _ => Err(errors),
    }
}

/// A file that includes none and has no mistakes in its TOML.
pub(crate) fn alone(main: &Document<'_>, natives: &Natives<'_>, sink: &Sink) -> Option<Config> {
    read(main, &[], natives, Complete { names: true, files: true }, sink)
}

/// What can be told from something not being there.
#[derive(Clone, Copy)]
struct Complete {
    /// Every `include` says which files it means: a name that no file has does not exist.
    names: bool,
    /// Every file could be read, too.
    files: bool,
}

/// Reads what the others refer to first. Each section is read in full whatever mistakes stand in
/// those before it.
fn read(
    main: &Document<'_>,
    included: &[(Document<'_>, Included)],
    natives: &Natives<'_>,
    complete: Complete,
    sink: &Sink,
) -> Option<Config> {
    let files = Files::new(main, included, sink);

    let gateway = files.main.table("gateway", Gateway::read);
    let log = files.main.table("log", Log::read);
    let trace = files.main.optional("trace", table(Trace::read));

    let listener_names = Unique::new("listener");
    let addresses = Unique::new("listener address");
    let admin = files.main.optional("admin", table(|section| Admin::read(section, &addresses)));
    let mut listeners =
        files.list("listener", |section| Listener::read(section, &listener_names, &addresses));
    check::name_listeners(listeners.iter_mut().flatten(), &listener_names);
    let folder = PluginFolder::of(&files.main);
    let complete = Complete { names: complete.names && !files.is_lossy() && folder.is_some(), ..complete };
    let folder = folder.flatten();
    let upstreams = files.named("upstream", Upstream::read);
    let secrets = files.named("secret", Secret::read);
    let state = State::of(&files.main, &secrets.declared, complete.names);
    // One with a mistake in it may well have an address.
    let can_share = state.as_ref().is_none_or(|state| state.url.is_some());
    let stores = files.named_beside("store", true, |section, name| Store::read(section, name, can_share));
    let key_sets = files
        .named("key_set", |section, name| KeySet::read(section, name, &secrets.declared, complete.names));
    let registries = files
        .named("registry", |section, name| Registry::read(section, name, &secrets.declared, complete.names));
    let grantable = Grantable {
        upstreams: &upstreams.declared,
        stores: &stores.declared,
        secrets: &secrets.declared,
        key_sets: &key_sets.declared,
        complete: complete.names,
    };
    let folder = folder.as_ref();
    let mut plugins = files.named("plugin", |section, name| Plugin::read(section, name, &grantable, folder));
    let left_out = folder.map(|folder| folder.add_to(&mut plugins, &files.main, &grantable));

    let routes = Unique::new("route");
    let asked = Asked::default();
    let none = Named::none("policy");
    let mut scope = Scope {
        natives: natives.0,
        plugins: &plugins.declared,
        upstreams: &upstreams.declared,
        listeners: &listeners,
        listener_names: &listener_names,
        policies: &none,
        policy_names: &[],
        in_policy: true,
        routes: &routes,
        asked: &asked,
        defaults: &[],
        default_names: &[],
        limits: RouteLimits::default(),
        timeout: RouteTimeouts::default(),
        complete: complete.names,
    };
    let policy_names = files.names("policy");
    scope.policy_names = &policy_names;
    let policies = files.named("policy", |section, _| Policy::read(section, &scope));
    scope.policies = &policies;
    scope.in_policy = false;
    let defaults = files.main.table("defaults", |section| Defaults::read(section, &scope));
    let default_names = files.default_names();
    let attached = defaults.as_ref().map(|defaults| defaults.policies.clone()).unwrap_or_default();
    scope.defaults = &attached;
    scope.default_names = &default_names;
    scope.limits = defaults.as_ref().map(|defaults| defaults.limits).unwrap_or_default();
    scope.timeout = defaults.as_ref().map(|defaults| defaults.timeout).unwrap_or_default();
    let routes_read = files.list("route", |section| Route::read(section, &scope));
    files.finish();

    if complete.files && scope.complete {
        check::at_least_one("listener", listeners.len(), &main.source.path, sink);
        check::at_least_one("route", routes_read.len(), &main.source.path, sink);
    }
    check::fallbacks(&upstreams, scope.complete, sink);

    let listeners: Vec<Listener> = listeners.iter().cloned().collect::<Option<_>>()?;
    let mut routes_read: Vec<Route> = routes_read.into_iter().collect::<Option<_>>()?;
    check::name_routes(&mut routes_read, &routes);
    defaults?;
    Some(Config {
        file: main.source.path.to_path_buf(),
        files: files.seen(),
        folders: folder.map(|folder| folder.seen.clone()).into_iter().collect(), // `load` adds those of `include`
        left_out: left_out.unwrap_or_default(),
        gateway: gateway?,
        log: log?,
        admin: admin?,
        written: files.written(),
        trace: trace?,
        listeners,
        secrets: secrets.items,
        key_sets: key_sets.items,
        plugins: plugins.items,
        registries: registries.items,
        upstreams: upstreams.items,
        state: state?,
        stores: stores.items,
        routes: routes_read,
    })
}
