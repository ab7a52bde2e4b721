//! `cargo xtask reference`: the references of `limen.toml`, of files of cases and of the built-in policies, from
//! the doc comments of `host/config` and `host/policy`.
//!
//! There each key stands once, documented where it is read. This takes the docs of every section and
//! its keys in the order of the modules, a section's own tables after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// A reference, and what it is made from.
struct Book {
    file: &'static str,
    /// The folder of the modules, and the file in it that lists them.
    sources: &'static str,
    list: &'static str,
    layout: Layout,
    top: &'static str,
}

#[derive(PartialEq)]
enum Layout {
    /// A chapter is a section of the file, with its docs.
    Sections,
    /// A chapter is a module with `Settings`, with the docs of the module.
    Modules,
}

const CONFIG: Book = Book {
    file: "host/config/REFERENCE.md",
    sources: "host/config/src",
    list: "lib.rs",
    layout: Layout::Sections,
    top: TOP,
};

const BOOKS: &[Book] = &[
    CONFIG,
    Book {
        file: "sdk/CASES.md",
        sources: "host/config/src/suite",
        list: "mod.rs",
        layout: Layout::Sections,
        top: CASES,
    },
    Book {
        file: "host/policy/REFERENCE.md",
        sources: "host/policy/src/native",
        list: "mod.rs",
        layout: Layout::Modules,
        top: POLICIES,
    },
];

const TOP: &str = "\
# Reference of `limen.toml`

Made by `cargo xtask reference` from the doc comments in [`src/`](src): change it there.

Durations and sizes are strings with units (`\"250ms\"`, `\"1m30s\"`, `\"64KiB\"`, `\"1MB\"`). Unknown keys are refused. Paths
are relative to the file that names them. `${NAME}` and `${NAME:-default}` in strings are environment
variables, `$${` is a literal `${`.
";

const CASES: &str = include_str!("cases.md");

const POLICIES: &str = "\
# Built-in policies

Made by `cargo xtask reference` from the doc comments in [`src/native/`](src/native): change it there.

A policy is named in the `policies` of a route, by its name alone or with settings: `{ use = \"ip\", with = { ... } }`. They
are asked in this order on the way in, and backwards on the way out, among plugins as well. Whoever is refused
reads problem+json (RFC 9457); why, is in the log. What each policy did and how long it took is in the field `policies` of the
access log and, of one exchange in 16, in `limen_policy_duration_seconds` of the metrics; who ended an exchange is in `limen_policy_decisions_total`. Durations are strings with units (`\"90s\"`). Unknown settings are refused.
";

/// Writes the references.
pub fn run(_: &[String]) -> Outcome {
    for book in BOOKS {
        let (file, text) = (book.file, book.generate()?);
        fs::write(file, text).map_err(|error| format!("could not write {file}: {error}"))?;
        println!("wrote {file}");
    }
    Ok(())
}

/// Whether the references say what the docs say.
pub fn is_current() -> Outcome {
    for book in BOOKS {
        let written = fs::read_to_string(book.file).unwrap_or_default();
        if written != book.generate()? {
            return Err(format!(
                "{} is out of date\n  hint: run `cargo xtask reference` and commit what it writes",
                book.file
            ));
        }
    }
    Ok(())
}

/// What an operator gives a plugin.
pub fn limits() -> Result<String, String> {
    let items = CONFIG.read_all()?;
    let limits =
        items.iter().find(|item| item.name == "PluginLimits").ok_or("there are no limits of plugins")?;
    let mut text = String::new();
    tell(limits, "`limits`", 3, &items, &mut BTreeSet::new(), &mut text);
    Ok(text)
}

impl Book {
    fn generate(&self) -> Result<String, String> {
        if self.layout == Layout::Modules {
            return self.generate_by_module();
        }
        let items = self.read_all()?;
        let mut text = self.top.to_owned();
        let mut told = BTreeSet::new();
        for item in items.iter().filter(|item| item.is_section()) {
            tell(item, &item.heading(), 2, &items, &mut told, &mut text);
        }
        Ok(text)
    }

    fn generate_by_module(&self) -> Result<String, String> {
        let folder = Path::new(self.sources);
        let list = read(&folder.join(self.list))?;
        let mut text = self.top.to_owned();
        for module in modules(&list) {
            let mut items = Vec::new();
            read_module(folder, module, &mut items)?;
            let Some(settings) = items.iter_mut().find(|item| item.name == "Settings") else { continue };
            settings.docs = module_docs(&read(&module_file(folder, module))?);
            let title = format!("`{}`", module.replace('_', "-"));
            let Some(settings) = items.iter().find(|item| item.name == "Settings") else { continue };
            tell(settings, &title, 2, &items, &mut BTreeSet::new(), &mut text);
        }
        Ok(text)
    }

    fn read_all(&self) -> Result<Vec<Item>, String> {
        let folder = Path::new(self.sources);
        let list = read(&folder.join(self.list))?;
        let mut items = Vec::new();
        for module in modules(&list) {
            read_module(folder, module, &mut items)?;
        }
        Ok(items)
    }
}

/// A struct or enum with documented keys.
struct Item {
    name: String,
    docs: String,
    keys: Vec<Key>,
}

/// A field or variant whose doc begins with what it is called in the file.
struct Key {
    docs: String,
    /// The names in its type.
    types: Vec<String>,
}

impl Item {
    /// Whether it has a header of its own in the file.
    fn is_section(&self) -> bool {
        ["`[", "`include", "**"].iter().any(|start| self.docs.starts_with(start)) && !self.keys.is_empty()
    }

    /// What it is called in the file; `**Name**` at the beginning is for what stands in many places.
    fn heading(&self) -> String {
        match self.docs.strip_prefix("**").and_then(|docs| docs.split_once("**")) {
            Some((name, _)) => name.to_owned(),
            None => format!("`{}`", self.title()),
        }
    }

    /// Whether it is a table within a section.
    fn is_table(&self) -> bool {
        let about_itself = self.docs.starts_with('`') || self.docs.starts_with("One of `");
        about_itself && !self.is_section() && !self.keys.is_empty()
    }

    fn title(&self) -> String {
        let code = self.docs.split('`').nth(1).unwrap_or(&self.name);
        code.split(" =").next().unwrap_or(code).to_owned()
    }
}

fn tell(
    item: &Item,
    title: &str,
    depth: usize,
    items: &[Item],
    told: &mut BTreeSet<String>,
    text: &mut String,
) {
    if !told.insert(item.name.clone()) {
        return;
    }
    text.push_str(&format!("\n{} {title}\n\n{}\n", "#".repeat(depth), item.docs));
    text.push_str("\n| Key | |\n|---|---|\n");
    for key in &item.keys {
        let (name, docs) = split_key(&key.docs);
        text.push_str(&format!("| {name} | {} |\n", docs.replace("\n\n", "<br>").replace('|', "\\|")));
    }
    for key in &item.keys {
        let named = key.types.iter().filter_map(|name| items.iter().find(|item| item.name == *name));
        for inner in named.filter(|inner| inner.is_table()) {
            let own = key.docs.split('`').nth(1).unwrap_or(&inner.name);
            // A key that is a choice between tables leads to each of them under its own name.
            let same = title.starts_with(&format!("`{own}`"));
            let inner_title = if same { title.to_owned() } else { format!("`{own}` of {title}") };
            tell(inner, &inner_title, (depth + 1).min(4), items, told, text);
        }
    }
}

/// "`drain`: how long" is the key "`drain`" and what is said of it.
fn split_key(docs: &str) -> (&str, &str) {
    let end = docs.match_indices('`').nth(1).map_or(0, |(at, _)| at + 1);
    let (code, rest) = docs.split_at(end);
    match rest.split_once(": ") {
        Some((between, said)) if between.len() < 40 => (docs.split_at(code.len() + between.len()).0, said),
        _ => (code, rest.trim_start_matches([':', ',', ' '])),
    }
}

fn read_module(folder: &Path, module: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let text = read(&module_file(folder, module))?;
    scan(&text, items);
    modules(&text).try_for_each(|inner| read_module(&folder.join(module), inner, items))
}

fn module_file(folder: &Path, module: &str) -> PathBuf {
    let inner = folder.join(module);
    if inner.is_dir() { inner.join("mod.rs") } else { inner.with_extension("rs") }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("could not read {}: {error}", file.display()))
}

/// What a file says of itself.
fn module_docs(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    paragraphs(&lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>())
}

fn modules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
}

/// The documented items of a file, line by line.
fn scan(text: &str, items: &mut Vec<Item>) {
    let mut docs: Vec<&str> = Vec::new();
    let mut open: Option<(Item, usize)> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(doc) = bare.strip_prefix("///") {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc));
            continue;
        }
        if bare.starts_with("#[") {
            continue;
        }
        let said = paragraphs(&std::mem::take(&mut docs));
        match &mut open {
            Some((_, at)) if indent == *at && bare.starts_with('}') => {
                items.extend(open.take().map(|(item, _)| item));
            }
            Some((item, _)) if said.starts_with('`') => {
                item.keys.push(Key { docs: said, types: names(bare) })
            }
            Some(_) => {}
            None => {
                if let Some(name) = item_name(bare) {
                    open = Some((Item { name, docs: said, keys: Vec::new() }, indent));
                }
            }
        }
    }
}

/// What a line that opens a struct or an enum calls it.
fn item_name(line: &str) -> Option<String> {
    let rest = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let rest = rest.strip_prefix("struct ").or_else(|| rest.strip_prefix("enum "))?;
    if !line.ends_with('{') {
        return None;
    }
    Some(rest.chars().take_while(|c| c.is_alphanumeric()).collect())
}

/// The names of types in a field or variant.
fn names(line: &str) -> Vec<String> {
    let type_of = line.split_once(':').map_or(line, |(_, rest)| rest);
    let type_of = type_of.split('=').next().unwrap_or_default();
    let words = type_of.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).map(str::to_owned).collect()
}

/// Doc lines as text: a line's end is a space, an empty line a paragraph's end, code stays as it is.
fn paragraphs(lines: &[&str]) -> String {
    let mut text = String::new();
    let mut code = false;
    for line in lines {
        let fence = line.starts_with("```");
        let block = code || fence || line.starts_with("- ") || line.starts_with('|');
        code ^= fence;
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(if block { '\n' } else { ' ' });
            }
            // What goes on in the next line of a list is indented there.
            text.push_str(if block { line } else { line.trim_start() });
        }
    }
    text.trim().replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_from_their_docs() {
        let mut items = Vec::new();
        scan(
            "section! {\n    /// `[gateway]`: the process.\n    #[derive(Copy)]\n    pub struct Gateway(section) {\n        \
             /// `drain`: how long\n        /// it takes.\n        pub drain: Option<Drain> = section.x(\n        ),\n\n        \
             /// Where.\n        pub place: Place = 1,\n    }\n}\n/// Not this.\nfn x() {}\n",
            &mut items,
        );
        let [gateway] = items.as_slice() else { panic!("{}", items.len()) };
        assert_eq!((gateway.name.as_str(), gateway.title().as_str()), ("Gateway", "[gateway]"));
        let [drain] = gateway.keys.as_slice() else { panic!("{}", gateway.keys.len()) };
        assert_eq!(split_key(&drain.docs), ("`drain`", "how long it takes."));
        assert_eq!(drain.types, ["Option", "Drain"]);
        assert_eq!(split_key("`cert` (required): a file"), ("`cert` (required)", "a file"));
    }
}
