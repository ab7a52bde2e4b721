//! The contract of `wit/`, as plain names and texts; whether it is documented, and still what it was.

mod docs;
mod read;
mod released;

pub(crate) use docs::Said;

use std::collections::BTreeSet;
use std::path::Path;

use crate::Outcome;
use crate::process::root;

pub(crate) const FOLDER: &str = "wit";

/// A package of WIT.
pub(crate) struct Contract {
    /// With its version.
    pub(crate) name: String,
    pub(crate) docs: String,
    pub(crate) interfaces: Vec<Interface>,
    worlds: Vec<World>,
}

/// A capability, or a phase.
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) docs: String,
    pub(crate) types: Vec<Type>,
    pub(crate) functions: Vec<Function>,
}

/// A type of its own; what `use` brings from elsewhere is none.
pub(crate) struct Type {
    pub(crate) name: String,
    /// `record`, `enum`, and so on; what it stands for, if it is another name for that.
    pub(crate) kind: String,
    pub(crate) docs: String,
    pub(crate) parts: Vec<Part>,
}

/// A case or a field.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) of: String,
    pub(crate) docs: String,
}

pub(crate) struct Function {
    /// With its resource, where it is a method: `outgoing.send`.
    pub(crate) name: String,
    /// Without its name: `func(key: string) -> option<s64>`.
    pub(crate) signature: String,
    pub(crate) docs: String,
    /// If it can fail, the cases of its error; none if that is in words.
    fails: Option<Vec<String>>,
    /// Whether its answer can be none.
    is_optional: bool,
}

struct World {
    name: String,
    docs: String,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// What stands in `wit/` now.
pub(crate) fn current() -> Result<Contract, String> {
    Contract::read(&root().join(FOLDER))
}

/// Whether everything in it is documented, and what was released is as it was.
pub(crate) fn check() -> Outcome {
    let contract = current()?;
    let mut faults = docs::faults(&contract);
    let released = root().join(FOLDER).join("released");
    for entry in std::fs::read_dir(&released).map_err(|error| error.to_string())? {
        let file = entry.map_err(|error| error.to_string())?.path();
        faults.extend(released::faults(&Contract::read_file(&file)?, &contract));
    }
    match faults.as_slice() {
        [] => Ok(()),
        faults => Err(format!("{FOLDER}/ is not what it should be:\n  {}", faults.join("\n  "))),
    }
}

impl Contract {
    /// The interfaces that components export.
    pub(crate) fn exported(&self) -> BTreeSet<&str> {
        self.worlds.iter().flat_map(|world| &world.exports).map(String::as_str).collect()
    }

    fn read_file(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("could not read {}: {error}", file.display()))?;
        Contract::parse([(file.display().to_string(), text)])
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_contract_is_documented_and_keeps_what_was_released() {
        if let Err(faults) = super::check() {
            panic!("{faults}");
        }
    }
}
