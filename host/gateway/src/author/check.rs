//! `limen policy check`: whether a gateway with this configuration would take this component.

use std::path::Path;

use limen_config::Component;
use limen_policy::native::Documents;
use limen_store::StateFile;

use super::{built, reference};
use crate::{StartError, build, load_config};

/// Loads the configuration with the component in the place of the plugin's own. All else about the
/// plugin holds: its grants, limits, settings, pins and signatures.
pub fn check(component: &str, config: &Path, plugin: Option<&str>) -> Result<String, StartError> {
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
    let uses =
        uses.filter(|it| matches!(&it.target, limen_config::Target::Plugin(it) if *it == name)).count();
    drop(snapshot);
    let times = if uses == 1 { "once".to_owned() } else { format!("{uses} times") };
    Ok(format!("{file} takes {component} as `{name}`, attached {times}"))
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
