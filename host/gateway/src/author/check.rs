//! `limen policy check`: whether a gateway with this configuration would take this component.

use std::fmt;
use std::path::{Path, PathBuf};

use limen_config::Component;
use limen_policy::native::Documents;
use limen_store::StateFile;
use serde_json::{Value, json};

use super::{built, reference};
use crate::{StartError, build, load_config};

/// A component that a gateway with a configuration would take.
pub struct Taken {
    /// The configuration.
    pub file: PathBuf,
    pub component: Component,
    /// As which plugin.
    pub plugin: String,
    /// How often it is attached.
    pub attached: usize,
}

impl Taken {
    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "ok": true,
            "file": self.file.display().to_string(),
            "component": self.component.to_string(),
            "plugin": self.plugin,
            "attached": self.attached,
        })
    }
}

/// For people.
impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Taken { file, component, plugin, attached } = self;
        let times = if *attached == 1 { "once".to_owned() } else { format!("{attached} times") };
        write!(f, "{} takes {component} as `{plugin}`, attached {times}", file.display())
    }
}

/// Loads the configuration with the component in the place of the plugin's own. All else about the
/// plugin holds: its grants, limits, settings, pins and signatures.
pub fn check(component: &str, config: &Path, plugin: Option<&str>) -> Result<Taken, StartError> {
    let component = reference(&built(component)?)?;
    let mut config = load_config(config).map_err(StartError::Config)?;
    let file = config.file.display().to_string();
    let names: Vec<_> = config.plugins.keys().cloned().collect();
    let name = match plugin {
        Some(name) => name.to_owned(),
        None => the_one(&component, &config, &names)?,
    };
    let known = names.join("`, `");
    let Some(plugin) = config.plugins.get_mut(&name) else {
        return Err(StartError::Machine(format!("{file} has no plugin `{name}`; it has `{known}`")));
    };
    plugin.component = component.clone();
    let (_, snapshot) = build(&config, Documents::default(), 1, &StateFile::tried())?;
    let uses = config.routes.iter().flat_map(|route| &route.policies);
    let attached =
        uses.filter(|it| matches!(&it.target, limen_config::Target::Plugin(it) if *it == name)).count();
    drop(snapshot);
    Ok(Taken { file: config.file.to_path_buf(), component, plugin: name, attached })
}

/// The plugin that a component is meant for when nobody says which: one whose own is called the same, or the
/// only one.
fn the_one(
    component: &Component,
    config: &limen_config::Config,
    names: &[String],
) -> Result<String, StartError> {
    let namesakes: Vec<_> = config
        .plugins
        .values()
        .filter(|plugin| plugin.component.short_name() == component.short_name())
        .map(|plugin| plugin.name.clone())
        .collect();
    match (&namesakes[..], names) {
        ([one], _) | ([], [one]) => Ok(one.clone()),
        _ => Err(StartError::Machine(format!(
            "which plugin of {}? Say it with --plugin; there are: {}",
            config.file.display(),
            names.join(", ")
        ))),
    }
}
