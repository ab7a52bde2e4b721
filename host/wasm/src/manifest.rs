//! What a component is, before it is run: what it says of itself and what can be seen from outside.

use serde::Serialize;
use serde_json::Value;

use crate::capability::grants::GRANTS;
use crate::plugin::{CONTRACT, Plugin, interface_of};
use crate::wasi;

/// For people and reviews; see [`Plugin::manifest`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: String,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// In bytes.
    pub size: usize,
    pub sha256: String,
    /// The phases at which it is asked, in the order of an exchange, and `tick`, which is beside all of them.
    pub phases: Vec<&'static str>,
    /// The interfaces of the contract that it imports. With those of `wasi`, it can do nothing else.
    pub imports: Vec<String>,
    /// The interfaces of WASI that it imports, and what is behind them here.
    pub wasi: Vec<WasiImport>,
    /// As they stand in `grants` of the configuration.
    pub grants: Vec<&'static str>,
    /// Why `configure` has to run in each new isolate; none: an image of its memory can be taken.
    pub no_image: Option<String>,
    /// The JSON Schema of its settings.
    pub settings: Option<Value>,
}

/// An interface of WASI in a component's imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WasiImport {
    /// Without its version: `wasi:cli/stdout`.
    pub interface: String,
    pub behind: &'static str,
}

impl Plugin {
    pub fn manifest(&self) -> Manifest {
        let mut imports: Vec<_> = self
            .interfaces
            .iter()
            .filter(|interface| interface.verb == "imports")
            .filter_map(|interface| interface_of(&interface.name))
            .filter(|interface| *interface != "types") // words, and nothing to call
            .map(str::to_owned)
            .collect();
        imports.sort_unstable();
        let mut wasi: Vec<_> = self.wasi_imports().collect();
        wasi.sort_unstable();
        wasi.dedup();
        let touched: Vec<_> =
            self.interfaces.iter().filter_map(|interface| interface_of(&interface.name)).collect();
        let needed = GRANTS.iter().filter(|grant| grant.interfaces.iter().any(|it| touched.contains(it)));
        let mut grants: Vec<(&str, &str)> = Vec::new();
        for grant in needed {
            // The stronger grant of a key stands first.
            if !grants.iter().any(|(key, _)| *key == grant.key()) {
                grants.push((grant.key(), grant.written));
            }
        }
        let ticks = self.ticks().then_some("tick");
        Manifest {
            name: self.about.name.clone(),
            version: self.about.version.clone(),
            description: self.about.description.clone(),
            contract: self.built_for().unwrap_or(CONTRACT).to_owned(),
            size: self.bytes.len(),
            sha256: self.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            phases: self.phases().iter().map(|phase| phase.name()).chain(ticks).collect(),
            imports,
            wasi,
            grants: grants.into_iter().map(|(_, written)| written).collect(),
            no_image: self.imageable.clone().err(),
            settings: self.about.config_schema.clone(),
        }
    }

    fn wasi_imports(&self) -> impl Iterator<Item = WasiImport> {
        let imports = self.interfaces.iter().filter(|interface| interface.verb == "imports");
        imports.filter_map(|interface| {
            let name = wasi::name_of(&interface.name)?;
            Some(WasiImport { interface: format!("wasi:{name}"), behind: wasi::behind(name) })
        })
    }

    /// The version in the names of its interfaces.
    fn built_for(&self) -> Option<&str> {
        let names = self.interfaces.iter().map(|interface| &interface.name);
        names.filter(|name| interface_of(name).is_some()).find_map(|name| Some(name.split_once('@')?.1))
    }
}
