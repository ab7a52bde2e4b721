//! `plugin_folder` of `[gateway]`: plugins by the names of their files

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::component::Component;
use crate::scope::{Grantable, Named};
use crate::section::Section;
use crate::source::io_phrase;
use crate::value::{self, Value, wrong_name};
use crate::{Plugin, Seen};

const ENDING: &str = ".wasm";
/// Of a file that signs a component.
const SIGNATURE: &str = ".wasm.minisig";

/// A folder of components, as it was when it was looked into.
#[derive(Debug, Clone)]
pub struct PluginFolder {
    pub(crate) seen: Seen,
    /// Each `NAME.wasm` by its NAME.
    components: BTreeMap<String, PathBuf>,
    left_out: Vec<LeftOut>,
}

/// Something in a folder of plugins that is of no use there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub file: PathBuf,
    pub because: String,
}

const EXPECTED: &str = "the path of a folder, relative to the file that names it";

pub(crate) fn path(value: &Value<'_>) -> Option<PathBuf> {
    value::path(value, EXPECTED)
}

impl PluginFolder {
    /// The folder that `[gateway]` names, whatever mistakes stand beside it: who uses its plugins makes none.
    /// `Some(None)` if it names none.
    #[allow(clippy::option_option, reason = "a mistake, or what may be left out")]
    pub(crate) fn of(main: &Section<'_>) -> Option<Option<Self>> {
        match main.get("gateway") {
            Some(gateway) => gateway.section()?.optional("plugin_folder", Self::read),
            None => Some(None),
        }
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let path = path(value)?;
        match Self::open(&path) {
            Ok(folder) => Some(folder),
            Err(why) => {
                let message = format!("cannot read the folder `{}`: {}", path.display(), io_phrase(&why));
                value.fail(value.error(message).expected(EXPECTED).unreadable(path))
            }
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let seen = Seen { path: path.to_owned(), metadata: fs::metadata(path)? };
        let (mut components, mut left_out) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            match meaning(&file) {
                Ok(Some(name)) => drop(components.insert(name, file)),
                Ok(None) => {}
                Err(because) => left_out.push(LeftOut { file, because }),
            }
        }
        left_out.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(PluginFolder { seen, components, left_out })
    }

    /// Where the component of this plugin is, or would be.
    pub(crate) fn component(&self, name: &str) -> Component {
        let known = self.components.get(name).cloned();
        Component::Found(known.unwrap_or_else(|| self.seen.path.join(format!("{name}{ENDING}"))))
    }

    /// Adds a plugin for each component that no `[plugin.NAME]` is for; answers what is left out.
    pub(crate) fn add_to(
        &self,
        plugins: &mut Named<Plugin>,
        main: &Section<'_>,
        may: &Grantable<'_>,
    ) -> Vec<LeftOut> {
        let value = main.get("gateway").and_then(|gateway| gateway.section()?.get("plugin_folder"));
        let Some(section) = value.and_then(|value| value.emptied()) else { return Vec::new() };
        let mut left_out = self.left_out.clone();
        for (name, file) in &self.components {
            match plugins.items.get(name) {
                Some(plugin) if plugin.component.file() != Some(file) => {
                    let because = format!("[plugin.{name}] has another `component`");
                    left_out.push(LeftOut { file: file.clone(), because });
                }
                Some(_) => {}
                None if plugins.declared.has(name) => {} // with a mistake
                None => {
                    let Some(plugin) = Plugin::read(&section, name, may, Some(self)) else { continue };
                    plugins.declared.insert(name.clone(), section.place());
                    plugins.items.insert(name.clone(), Plugin { is_described: false, ..plugin });
                }
            }
        }
        left_out
    }
}

/// The name of the plugin whose component this is; none for what may stand here and is none.
fn meaning(file: &Path) -> Result<Option<String>, String> {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
        return Err("its name is not UTF-8".to_owned());
    };
    // Editors, file systems and Kubernetes keep hidden files and links beside the real ones.
    if name.starts_with('.') || name.ends_with(SIGNATURE) {
        return Ok(None);
    }
    let Some(plugin) = name.strip_suffix(ENDING) else {
        return Err(format!("it is not called NAME{ENDING}"));
    };
    if let Some(wrong) = wrong_name(plugin) {
        return Err(format!("it has {wrong}"));
    }
    // A link is what it leads to.
    match fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(Some(plugin.to_owned())),
        Ok(_) => Err("it is not a regular file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("it leads nowhere".to_owned()),
        Err(error) => Err(io_phrase(&error)),
    }
}
