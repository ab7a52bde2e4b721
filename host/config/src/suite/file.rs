//! A file of cases as a whole.

use std::borrow::Cow;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::case::{Case, OfFile};
use super::{Fetched, ORIGIN, Played, Suite, UnderTest, answer};
use crate::files::Files;
use crate::scope::{Grantable, Named, Unique};
use crate::section::{Section, Sink};
use crate::source::{Document, Text};
use crate::value::string;
use crate::{
    Attachment, Config, ConfigError, Errors, KeySet, Natives, Place, Plugin, Secret, SecretSource, Settings,
    Store, Target, load,
};

/// What all cases are played on, but for what they say themselves.
const STAGE: &str = r#"
listener = [{ address = "127.0.0.1:0" }]
route = [{ upstream = "origin" }]
upstream.origin.endpoints = ["http://127.0.0.1:1"]
"#;

pub fn load(path: &Path, under_test: &UnderTest<'_>) -> Result<Suite, Errors> {
    let text = Text::open(path, 0).map_err(|error| Errors::from_iter([*error]))?;
    let stage = stage(&text)?;
    let sink = Sink::default();
    let (mut document, syntax) = Document::parse(&text);
    put_component(&mut document, under_test.component, &sink);
    let suite = read(&document, under_test, &stage, &sink);
    let errors = sink.into_errors(syntax, std::iter::once(&document.source));
    match suite {
        Some(cases) if errors.is_empty() => Ok(Suite { file: path.to_owned(), cases }),
        None if errors.is_empty() => {
            Err(Errors::from_iter([ConfigError::new(Place::file(path), "not a file of cases")]))
        }
        _ => Err(errors),
    }
}

fn read(
    document: &Document<'_>,
    under_test: &UnderTest<'_>,
    stage: &Config,
    sink: &Sink,
) -> Option<Vec<Played>> {
    let files = Files::alone(Section::root(document, sink));
    let root = &files.main;
    let stores = files.named("store", |section, name| Store::read(section, name, true));
    let secrets = secrets(root);
    let complete = !files.is_lossy();
    let key_sets =
        files.named("key_set", |section, name| KeySet::read(section, name, &secrets.declared, complete));
    let grantable = Grantable {
        upstreams: &called(root),
        stores: &stores.declared,
        secrets: &secrets.declared,
        key_sets: &key_sets.declared,
        complete,
    };
    let plugin = root.table("plugin", |section| Plugin::read(section, under_test.name, &grantable, None));
    let settings = root.optional("with", Settings::read);
    let fetched = answer::fetched(root, &Fetched::new());
    let of_file = OfFile {
        under_test,
        fetched: fetched.clone().unwrap_or_default(),
        stores: &stores.declared,
        names: &Unique::new("case"),
    };
    let cases = files.list("case", |section| Case::read(section, &of_file));
    files.finish();
    if cases.is_empty() && complete {
        let error = ConfigError::new(Place::file(&document.source.path), "no case");
        sink.push(error.expected("`[[case]]`, once at least"));
    }
    let (plugin, settings, _) = (plugin?, settings?, fetched?);

    let play = |case: Case| {
        let mut config = stage.clone();
        config.secrets.clone_from(&secrets.items);
        config.key_sets.clone_from(&key_sets.items);
        config.stores.clone_from(&stores.items);
        let origin = config.upstreams.get(ORIGIN)?.clone();
        for name in &plugin.grants.fetch {
            let upstream = crate::Upstream { name: name.clone(), ..origin.clone() };
            config.upstreams.insert(name.clone(), upstream);
        }
        if case.http2 {
            let upstreams = config.upstreams.values_mut();
            upstreams.for_each(|upstream| upstream.protocol = crate::UpstreamProtocol::Http2);
        }
        let with = case.with.clone().or_else(|| settings.clone());
        let attachment = Attachment {
            name: under_test.name.to_owned(),
            target: Target::Plugin(under_test.name.to_owned()),
            settings: with.unwrap_or_else(|| Settings::none(case.place.clone())),
            on_error: None,
            place: case.place.clone(),
        };
        let route = config.routes.first_mut()?;
        route.policies = vec![attachment];
        route.name = case.path.to_string();
        route.path = case.path.clone();
        config.plugins.insert(under_test.name.to_owned(), plugin.clone());
        Some(Played { case, config })
    };
    cases.into_iter().map(|case| play(case?)).collect()
}

/// The configuration that is common to all.
fn stage(text: &Text) -> Result<Config, Errors> {
    let text = text.of(STAGE);
    let (document, _) = Document::parse(&text);
    let sink = Sink::default();
    let config = load::alone(&document, &Natives(&[]), &sink);
    config.ok_or_else(|| sink.into_errors(Vec::new(), std::iter::empty()))
}

/// The component is the one under test, whatever the file says.
fn put_component(document: &mut Document<'_>, component: &Path, sink: &Sink) {
    let name = |name: &'static str| Spanned::new(0..0, Cow::Borrowed(name));
    let file = component.display().to_string().replace("${", "$${");
    let file = Spanned::new(0..0, DeValue::String(Cow::Owned(file)));
    if !document.table.contains_key("plugin") {
        document.table.insert(name("plugin"), Spanned::new(0..0, DeValue::Table(DeTable::new())));
    }
    let Some(DeValue::Table(plugin)) = document.table.get_mut("plugin").map(Spanned::get_mut) else { return };
    if let Some((written, _)) = plugin.get_key_value("component") {
        let place = document.source.place(written.span(), "plugin.component");
        let error = ConfigError::new(place, "a component in a file of cases");
        sink.push(error.expected("none: it is the one that is tested"));
    }
    plugin.insert(name("component"), file);
}

/// `[secret] NAME = "value"`
fn secrets(root: &Section<'_>) -> Named<Secret> {
    let mut secrets = Named::none("secret");
    let Some(value) = root.get("secret") else { return secrets };
    for (name, item) in value.section().iter().flat_map(Section::entries) {
        secrets.declared.insert(name.to_owned(), item.place());
        if let Some(text) = string(&item) {
            let (current, place) = (SecretSource::Written(text), item.place());
            let secret = Secret { name: name.to_owned(), previous: None, current, place };
            secrets.items.insert(name.to_owned(), secret);
        }
    }
    secrets
}

/// The upstreams that the plugin may call: what is granted is there.
fn called(root: &Section<'_>) -> Unique {
    let upstreams = Unique::new("upstream");
    let grants = root.peek("plugin").and_then(|plugin| plugin.get("grants"));
    let granted = grants.and_then(|grants| grants.get_ref().get("fetch"));
    let granted = granted.and_then(|granted| granted.get_ref().as_array());
    for name in granted.into_iter().flat_map(|names| names.iter()) {
        if let Some(name) = name.get_ref().as_str() {
            upstreams.insert(name.to_owned(), root.place());
        }
    }
    upstreams
}
