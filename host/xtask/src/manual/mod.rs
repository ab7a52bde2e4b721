//! `sdk/REFERENCE.md`, the reference for authors of policies: from the docs of `wit/`, of the SDK's sources, of
//! the configuration's grants and limits.

mod promises;
mod rust;
mod sources;

use std::fmt::Write;
use std::fs;

use crate::Outcome;
use crate::contract::{self, Contract, Function, Interface, Said};
use crate::process::root;
use crate::reference;

use rust::Item;
use sources::{CAPABILITIES, Capability};

const REFERENCE: &str = "sdk/REFERENCE.md";

const TOP: &str = "\
# Reference for authors of policies

Made by `cargo xtask reference` from [`wit/`](../wit), from the sources of [the SDK](src) and of the gateway: change
it there. [The manual](README.md) comes first.

Contents: [phases](#phases) · [how a hook ends](#how-a-hook-ends) · [capabilities](#capabilities) · [types of all](#types-of-all) · \
[budgets](#budgets) · [how a policy fails](#how-a-policy-fails) · [in tests](#in-tests).

Every function of the contract says how it fails and what a call of it costs:

";

const PHASES: &str = "
## Phases

The methods that a policy may have, and the interfaces that its component exports then. The gateway calls exactly
these, and an exchange pays for no others. Before each call the limits of CPU and wall time are armed again. A message
that is only read, and `attempt`, may be left out of the parameters.
";

/// Writes the reference.
pub(crate) fn run() -> Outcome {
    let file = root().join(REFERENCE);
    fs::write(&file, generate()?).map_err(|error| format!("could not write {REFERENCE}: {error}"))?;
    println!("wrote {REFERENCE}");
    Ok(())
}

/// Whether the reference says what the sources say, and the manual names tests that there are.
pub(crate) fn is_current() -> Outcome {
    promises::are_tested()?;
    let written = fs::read_to_string(root().join(REFERENCE)).unwrap_or_default();
    if written == generate()? {
        return Ok(());
    }
    Err(format!("{REFERENCE} is out of date\n  hint: run `cargo xtask reference` and commit what it writes"))
}

fn generate() -> Result<String, String> {
    let contract = contract::current()?;
    let mut text = TOP.to_owned();
    text.push_str(&costs(&contract));
    text.push_str(PHASES);
    for (phase, method) in sources::phases()? {
        let interface = contract.interface(&phase)?;
        // Writing into memory does not fail.
        let _ = write!(
            text,
            "\n### `{}`\n\n```rust\n{}\n```\n\n{}\n",
            method.name,
            method.signature,
            plain(&interface.docs)
        );
        table(&mut text, interface);
    }
    how_hooks_end(&mut text)?;
    text.push_str("\n## Capabilities\n");
    let grants = sources::grants()?;
    for capability in &CAPABILITIES {
        tell(capability, &contract, &grants, &mut text)?;
    }
    forget_nothing(&contract)?;
    text.push_str("\n## Types of all\n");
    types(&mut text, contract.interface("types")?);
    text.push_str("\n## Budgets\n\nWhat the operator gives a plugin, in its `limits`. What is hit is named in the log.\n");
    text.push_str(&reference::limits()?);
    text.push_str(
        "\n## How a policy fails\n\nIn the log, and as `kind` in metrics. The attachment's `on_error` decides what the \
         client gets.\n\n| kind | |\n|---|---|\n",
    );
    for kind in sources::failures()? {
        let _ = writeln!(text, "| `{}` | {} |", kind.name, cell(&kind.docs));
    }
    text.push_str("\n## In tests\n\n`limen::testing`, under plain `cargo test`. What belongs to one capability stands there.\n");
    let of_capabilities: Vec<&str> =
        CAPABILITIES.iter().flat_map(|capability| capability.mock).copied().collect();
    let mut mock = sources::mock()?;
    mock.retain(|item| !of_capabilities.contains(&item.base()));
    rust_table(&mut text, &mock);
    Ok(text)
}

/// What hooks say, and the macros that every policy has at hand.
fn how_hooks_end(text: &mut String) -> Outcome {
    text.push_str("\n## How a hook ends\n");
    let flows = sources::read("sdk/src/flow.rs")?;
    for (name, of) in [("Flow", "a head or a whole body"), ("ChunkFlow", "a piece of a body")] {
        let _ = write!(text, "\n`{name}`, of the hooks for {of}:\n");
        rust_table(text, &rust::variants(&flows, name));
    }
    text.push_str("\nIn every policy, with `use limen::prelude::*`:\n");
    let macros = ["error.rs", "log.rs"].map(|file| sources::read(&format!("sdk/src/{file}")));
    for file in macros {
        rust_table(text, &rust::macros(&file?));
    }
    Ok(())
}

/// The list in the package's docs.
fn costs(contract: &Contract) -> String {
    let from = contract.docs.find("- `").unwrap_or_default();
    let list = contract.docs.get(from..).unwrap_or_default();
    format!("{list}\n")
}

fn tell(
    capability: &Capability,
    contract: &Contract,
    grants: &[(String, Vec<String>)],
    text: &mut String,
) -> Outcome {
    let _ = write!(text, "\n### {}\n", capability.title);
    for name in capability.interfaces {
        let interface = contract.interface(name)?;
        let _ = write!(text, "\n`limen:policy/{name}`. {}\n", plain(&interface.docs));
        let needed = grants.iter().filter(|(_, interfaces)| interfaces.iter().any(|known| known == name));
        for (grant, _) in needed {
            let _ = write!(text, "\n```toml\n[plugin.mine.grants]\n{grant}\n```\n");
        }
        table(text, interface);
        types(text, interface);
    }
    for source in capability.sources {
        let file = rust::read(source)?;
        let _ = write!(text, "\nIn Rust, [`{}`](src/{source}): {}\n", sources::module(source)?, file.about);
        rust_table(text, &file.items);
    }
    if !capability.mock.is_empty() {
        let mock = sources::mock()?;
        let named: Vec<Item> =
            mock.iter().filter(|item| capability.mock.contains(&item.base())).cloned().collect();
        for name in capability.mock {
            if !named.iter().any(|item| item.base() == *name) {
                return Err(format!(
                    "`limen::testing` has no `{name}`, which {} speaks of",
                    capability.title
                ));
            }
        }
        text.push_str("\nIn tests:\n");
        rust_table(text, &named);
    }
    Ok(())
}

/// Every interface of the contract has its place.
fn forget_nothing(contract: &Contract) -> Outcome {
    let told: Vec<&str> = CAPABILITIES.iter().flat_map(|capability| capability.interfaces).copied().collect();
    let known = |name: &str| told.contains(&name) || name == "types" || name.starts_with("hook-");
    match contract.interfaces.iter().find(|interface| !known(&interface.name)) {
        None => Ok(()),
        Some(new) => {
            let name = &new.name;
            Err(format!(
                "{REFERENCE} does not tell of `{name}`\n  hint: it needs a line in host/xtask/src/manual/sources.rs"
            ))
        }
    }
}

fn table(text: &mut String, interface: &Interface) {
    if interface.functions.is_empty() {
        return;
    }
    text.push_str("\n| function | | errors | cost |\n|---|---|---|---|\n");
    for Function { name, signature, docs, .. } in &interface.functions {
        let Said { about, errors, cost } = Said::of(docs);
        let _ = writeln!(text, "| `{name}: {signature}` | {} | {} | {cost} |", cell(&about), cell(&errors));
    }
}

fn types(text: &mut String, interface: &Interface) {
    for kind in &interface.types {
        let _ = write!(text, "\n`{} {}`: {}\n", kind.kind, kind.name, cell(&kind.docs));
        if !kind.parts.is_empty() {
            text.push_str("\n| | |\n|---|---|\n");
        }
        for part in &kind.parts {
            let of = if part.of.is_empty() { String::new() } else { format!(": {}", part.of) };
            let _ = writeln!(text, "| `{}{of}` | {} |", part.name, cell(&part.docs));
        }
    }
}

fn rust_table(text: &mut String, items: &[Item]) {
    if items.is_empty() {
        return;
    }
    text.push_str("\n| | |\n|---|---|\n");
    for item in items {
        let _ = writeln!(text, "| `{}` | {} |", item.signature.replace('|', "\\|"), cell(&item.docs));
    }
}

/// Paragraphs without the line ends of their source.
fn plain(docs: &str) -> String {
    docs.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

fn cell(docs: &str) -> String {
    plain(docs).replace("\n\n", "<br>").replace('|', "\\|")
}

impl Contract {
    fn interface(&self, name: &str) -> Result<&Interface, String> {
        let found = self.interfaces.iter().find(|interface| interface.name == name);
        found.ok_or_else(|| format!("wit/ has no interface `{name}`"))
    }
}
