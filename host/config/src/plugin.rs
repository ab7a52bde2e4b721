//! `[plugin.NAME]`

use std::time::Duration;

use crate::component::Component;
use crate::plugin_folder::PluginFolder;
use crate::policy::on_error;
use crate::scope::Grantable;
use crate::section::{Section, section};
use crate::value::{Value, choice, duration, file_to_be_opened};
use crate::{Digest, Grants, OnError, Place, PluginLimits};

section! {
    /// `[plugin.NAME]`: a policy of your own, a WebAssembly component.
    pub struct Plugin(section, name: &str, may: &Grantable<'_>, folder: Option<&PluginFolder>) {
        /// What `use` and `policies` call it.
        pub name: String = Some(name.to_owned()),

        /// `component`: where its component comes from. Default: `NAME.wasm` of [gateway] `plugin_folder`;
        /// required where there is none. What can't be read is an error; while the gateway runs, the plugin
        /// then stays on its last good version.
        ///
        /// "plugins/region.wasm": a file, its path relative to the file that names it.
        ///
        /// "oci-layout:dist/region:1.0" or "oci-layout:dist/region@sha256:...": in the OCI image layout that
        /// the folder `dist/region` is, by tag or digest; with neither, the only manifest there is. It is
        /// read again when the layout changes.
        ///
        /// "oci://registry.example.com/policies/region@sha256:...": in an OCI registry, by the digest of a
        /// manifest, so that it never changes behind your back. (A tag before the `@` is for people.) It is
        /// downloaded when the configuration is loaded, kept where compiled code is (`code_cache`) and not
        /// asked for again. How to speak to the registry, `[registry]` says. One that can't be reached is
        /// asked again after a while.
        ///
        /// In the latter two it is the layer of the type `application/wasm` of an image manifest, its
        /// signature for `trust` a layer of the type `application/vnd.minisign.signature`.
        pub component: Component = component(section, name.as_deref().unwrap_or_default(), folder),

        /// Where that is said; of one in `plugin_folder`, where the plugin is.
        pub component_place: Place =
            Some(section.get("component").map_or_else(|| section.place(), |value| value.place())),

        /// `sha256`: the component itself has to be the one with this digest, 64 hexadecimal digits as
        /// `sha256sum` writes them. Another file is refused; while the gateway runs, the plugin then
        /// stays on its last good version. Default: whatever is there.
        pub sha256: Option<Digest> = section.optional("sha256", Digest::read),

        /// `isolate`: "fresh" (default), a new isolate for every exchange; "reused", one that
        /// serves one exchange after another and may remember.
        pub isolate: IsolateMode = section.or("isolate", choice(IsolateMode::CHOICES), IsolateMode::Fresh),

        /// `grants`: what it may do beyond deciding on the exchange at hand. Default: nothing.
        pub grants: Grants = section.table("grants", |section| Grants::read(section, may)),

        /// `limits`: what it may use up.
        pub limits: PluginLimits = section.table("limits", PluginLimits::read),

        /// `on_error`: what a client gets when the plugin fails, is stopped at a limit, or no
        /// isolate is free. "refuse" (default), "skip" or `{ status = 503 }`.
        pub on_error: OnError = section.or("on_error", on_error, OnError::Refuse),

        /// `tick`: how often a plugin with an `on_tick` is called beside all exchanges, in an isolate of
        /// its own, once for all routes with the same settings. 100ms to 24h, give or take a tenth of it;
        /// default 30s. The first time is when the configuration goes live; nobody waits for it.
        pub tick: Option<Duration> = section.optional("tick", duration(TICK)),

        /// Whether it has a section: one of `plugin_folder` needs none.
        pub is_described: bool = Some(true),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

fn component(section: &Section<'_>, name: &str, folder: Option<&PluginFolder>) -> Option<Component> {
    match (section.get("component"), folder) {
        (None, Some(folder)) => Some(folder.component(name)),
        _ => section.required("component", place_of_component),
    }
}

fn place_of_component(value: &Value<'_>) -> Option<Component> {
    let text = value.text("the path of a readable file, relative to the file that names it")?;
    match Component::parse(&text, value.source.folder()) {
        // That it can't be read is an error here only beside others: whoever opens it says so.
        Ok(Component::File(_)) => file_to_be_opened(value).map(Component::File),
        Ok(Component::Registry(reference)) if reference.which.digest.is_none() => value.fail(
            value
                .error("a component of a registry without a digest")
                .expected("a reference like \"oci://registry.example.com/policies/region@sha256:...\"")
                .hint(format!("`limen policy inspect oci://{reference}` says which digest the tag has now")),
        ),
        Ok(component) => Some(component),
        Err(wrong) => {
            let error = value.error(wrong.message).expected(wrong.expected);
            value.fail(error.maybe_hint(wrong.hint))
        }
    }
}

const TICK: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// How long an isolate lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsolateMode {
    /// For one exchange.
    Fresh,
    /// For one exchange after another.
    Reused,
}

impl IsolateMode {
    const CHOICES: &[(&str, IsolateMode)] = &[("fresh", IsolateMode::Fresh), ("reused", IsolateMode::Reused)];
}
