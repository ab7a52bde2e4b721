//! `[plugin.NAME]`

use std::time::Duration;

use crate::component::Component;
use crate::plugin_folder::PluginFolder;
use crate::policy::on_error;
use crate::scope::Grantable;
use crate::section::{Section, section};
use crate::signature::sha256;
use crate::value::{choice, duration, file_to_be_opened};
use crate::{Grants, OnError, Place, PluginLimits};

section! {
    /// `[plugin.NAME]`: a policy of your own, a WebAssembly component.
    pub struct Plugin(section, name: &str, may: &Grantable<'_>, folder: Option<&PluginFolder>) {
        /// What `use` and `policies` call it.
        pub name: String = Some(name.to_owned()),

        /// `component`: the path of the component's file, relative to the file that names it. That it
        /// can't be read is an error here only beside others: while the gateway runs, a plugin whose file
        /// is gone stays on its last good version. Default: `NAME.wasm` of [gateway] `plugin_folder`;
        /// required where there is none.
        pub component: Component = component(section, name.as_deref().unwrap_or_default(), folder),

        /// `sha256`: the component has to be the one with this digest, 64 hexadecimal digits as
        /// `sha256sum` writes them. Another file is refused; while the gateway runs, the plugin then
        /// stays on its last good version. Default: whatever is there.
        pub sha256: Option<[u8; 32]> = section.optional("sha256", sha256),

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
        _ => section.required("component", file_to_be_opened).map(Component::File),
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
