//! What a file of the SDK offers, line by line: it is formatted by `rustfmt`.

use super::sources;

/// A file's docs, and its public items.
pub(super) struct File {
    /// The first paragraph about it.
    pub(super) about: String,
    pub(super) items: Vec<Item>,
}

/// Something public.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Item {
    /// With its type, if it has one: `Store::get`.
    pub(super) name: String,
    /// On one line.
    pub(super) signature: String,
    /// The first paragraph.
    pub(super) docs: String,
}

impl Item {
    /// The name without its type.
    pub(super) fn base(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or_default()
    }
}

/// The file of this name in `sdk/src/`.
pub(super) fn read(file: &str) -> Result<File, String> {
    let text = sources::read(&format!("sdk/src/{file}"))?;
    let about = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let about: Vec<_> = about.take_while(|line| !line.is_empty()).collect();
    Ok(File { about: about.join(" "), items: items(&text) })
}

/// The variants of an enum.
pub(super) fn variants(text: &str, name: &str) -> Vec<Item> {
    let mut variants = Vec::new();
    let mut docs = Docs::default();
    let body = text.split_once(&format!("pub enum {name} {{")).map_or("", |(_, rest)| rest);
    for line in body.lines().map_while(|line| (line != "}").then_some(line.trim())) {
        if docs.take_in(line) {
            continue;
        }
        let name: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
        if !name.is_empty() {
            let docs = links(&docs.take().text);
            variants.push(Item { signature: line.trim_end_matches(',').to_owned(), name, docs });
        }
    }
    variants
}

/// The macros that a file has for others.
pub(super) fn macros(text: &str) -> Vec<Item> {
    let mut macros = Vec::new();
    let mut docs = Docs::default();
    for line in text.lines().map(str::trim) {
        if docs.take_in(line) {
            continue;
        }
        let docs = docs.take();
        if let Some(name) = line.strip_prefix("macro_rules! ").and_then(|rest| rest.split(' ').next())
            && !docs.text.is_empty()
        {
            macros.push(Item {
                name: name.to_owned(),
                signature: format!("{name}!"),
                docs: links(&docs.text),
            });
        }
    }
    macros
}

fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut docs = Docs::default();
    // The type whose methods these are, and how far its block is indented.
    let mut of: Option<(String, usize)> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim();
        if docs.take_in(bare) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        match bare {
            "#[cfg(test)]" => break,
            "}" if of.as_ref().is_some_and(|(_, at)| *at == indent) => of = None,
            _ if bare.starts_with("impl") => of = implemented(bare).map(|of| (of, indent)),
            _ => {}
        }
        let Some(item) = bare.strip_prefix("pub ") else {
            docs.take();
            continue;
        };
        let mut signature = item.to_owned();
        while !signature.ends_with(['{', ';', ',', '}']) || signature.ends_with("(,") {
            let Some(next) = lines.next() else { break };
            signature.push_str(if signature.ends_with('(') { "" } else { " " });
            signature.push_str(next.trim());
        }
        // A signature over several lines ends with its brace.
        while signature.contains('(') && signature.ends_with(',') {
            let Some(next) = lines.next() else { break };
            signature.push(' ');
            signature.push_str(next.trim());
        }
        let signature = signature.replace("( ", "(").replace(", )", ")");
        let signature = signature.trim_end_matches(['{', ';', ',']).trim();
        let mut words =
            signature.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let kind = words.by_ref().find(|word| !["const", "unsafe"].contains(word)).unwrap_or_default();
        let name = words.next().unwrap_or_default();
        let docs = docs.take();
        let is_item = ["fn", "struct", "enum", "trait", "type"].contains(&kind) && !signature.contains('$');
        if !is_item || docs.hidden {
            continue;
        }
        let (name, signature) = match &of {
            // In a macro it has no name of its own.
            Some((of, _)) if !of.starts_with('$') => (
                format!("{of}::{name}"),
                signature.replacen(&format!("fn {name}"), &format!("fn {of}::{name}"), 1),
            ),
            _ => (name.to_owned(), signature.to_owned()),
        };
        items.push(Item { name, signature, docs: links(&docs.text) });
    }
    items
}

/// The type whose methods follow; none for those of a trait, which are known.
fn implemented(line: &str) -> Option<String> {
    let line = line.strip_suffix(" {")?;
    if line.contains(" for ") {
        return None;
    }
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        // Up to where its parameters end.
        let mut depth = 0;
        let end = rest.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '<') - i32::from(*c == '>');
            depth == 0
        });
        rest = rest.get(end?.0 + 1..)?;
    }
    Some(rest.trim().split('<').next()?.to_owned())
}

/// Doc lines up to an item.
#[derive(Default)]
struct Docs {
    text: String,
    /// The first paragraph is over.
    over: bool,
    hidden: bool,
}

impl Docs {
    /// Whether the line belongs to what comes next, and is no item.
    fn take_in(&mut self, line: &str) -> bool {
        if let Some(doc) = line.strip_prefix("///") {
            let doc = doc.trim();
            self.over |= doc.is_empty();
            if !self.over {
                self.text.push_str(if self.text.is_empty() { "" } else { " " });
                self.text.push_str(doc);
            }
            return true;
        }
        self.hidden |= line == "#[doc(hidden)]";
        line.starts_with("#[") && line != "#[cfg(test)]"
    }

    fn take(&mut self) -> Docs {
        std::mem::take(self)
    }
}

/// Links of rustdoc as plain code: ``[`get`](Self::get)``.
fn links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((code, after)) = after.split_once("`]") else { break };
        plain.push_str(before);
        plain.push_str(&format!("`{code}`"));
        rest = match after.strip_prefix('(').and_then(|link| link.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_items_are_found_with_their_docs() {
        let text = "\
//! About.

/// A [`Store`](Self), and
/// more.
///
/// Not this.
#[derive(Clone)]
pub struct Store<'a> {
    /// A field.
    pub name: &'a str,
}

impl<'a> Store<'a> {
    /// Get.
    pub fn get(
        self,
        key: &str,
    ) -> Result<()> {
        pub_nothing();
    }

    #[doc(hidden)]
    pub fn hidden(self) {}

    fn own(self) {}
}

impl Clone for Store {
}

/// Of a name.
pub const fn store(name: &str) -> Store<'_> {
}

pub(crate) fn inner() {}
";
        let found = items(text);
        let signatures: Vec<_> = found.iter().map(|item| &*item.signature).collect();
        assert_eq!(
            signatures,
            [
                "struct Store<'a>",
                "fn Store::get(self, key: &str) -> Result<()>",
                "const fn store(name: &str) -> Store<'_>"
            ]
        );
        assert_eq!(found[0].docs, "A `Store`, and more.");
        assert_eq!((&*found[1].name, found[1].base(), &*found[1].docs), ("Store::get", "get", "Get."));
    }

    #[test]
    fn variants_are_found_with_their_docs() {
        let text = "/// E.\npub enum E {\n    /// One.\n    One,\n    /// Two.\n    Two(u8),\n}\npub enum F {\n    Three,\n}\n";
        let names: Vec<_> = variants(text, "E").into_iter().map(|item| (item.name, item.docs)).collect();
        assert_eq!(names, [("One".to_owned(), "One.".to_owned()), ("Two".to_owned(), "Two.".to_owned())]);
    }
}
