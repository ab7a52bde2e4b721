//! The main file and those it includes, as one: a section's kind, wherever it may stand.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::env;
use crate::include::Included;
use crate::scope::{Named, Unique};
use crate::section::{Section, Sink};
use crate::source::{Document, Source};
use crate::value::{Value, check_name};
use crate::{Seen, written};

/// The sections that only the main file has, whatever an include may.
const MAIN_ONLY: &[&str] = &["include", "gateway", "log", "trace", "admin", "defaults"];

pub(crate) struct Files<'a> {
    pub(crate) main: Section<'a>,
    included: Vec<(Section<'a>, &'a Included)>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(
        main: &'a Document<'a>,
        included: &'a [(Document<'a>, Included)],
        sink: &'a Sink,
    ) -> Files<'a> {
        let main = Section::root(main, sink);
        // Read before everything else; here it is only known.
        let _ = main.get("include");
        let included = included.iter().map(|(document, it)| (Section::root(document, sink), it)).collect();
        Files { main, included }
    }

    /// A file that includes none.
    pub(crate) fn alone(main: Section<'a>) -> Files<'a> {
        Files { main, included: Vec::new() }
    }

    /// All `[[KIND]]`, those with mistakes as `None`.
    pub(crate) fn list<T>(
        &self,
        kind: &'static str,
        read: impl Fn(&Section<'a>) -> Option<T>,
    ) -> Vec<Option<T>> {
        let mut all = Vec::new();
        for value in self.each(kind) {
            match value.inner {
                DeValue::Array(array) => {
                    all.extend(value.items_of(array).map(|item| read(&item.section()?)));
                }
                _ => {
                    let error = value.error(format!("wrong type: found {}", value.type_name()));
                    let error = error.expected(format!("an array of tables, `[[{kind}]]`"));
                    value.fail::<()>(error.hint(format!("write `[[{kind}]]`: there can be more than one")));
                    all.push(None);
                }
            }
        }
        all
    }

    /// All `[KIND.NAME]`, by name.
    pub(crate) fn named<T>(
        &self,
        kind: &'static str,
        read: impl Fn(&Section<'a>, &str) -> Option<T>,
    ) -> Named<T> {
        self.named_beside(kind, false, read)
    }

    /// As `named`, where `[KIND]` of the main file has keys of its own, too, which are read elsewhere.
    pub(crate) fn named_beside<T>(
        &self,
        kind: &'static str,
        has_keys: bool,
        read: impl Fn(&Section<'a>, &str) -> Option<T>,
    ) -> Named<T> {
        let declared = Unique::new(kind);
        let mut items = BTreeMap::new();
        for value in self.each(kind) {
            let DeValue::Table(table) = value.inner else {
                let error = value.error(format!("wrong type: found {}", value.type_name()));
                let error = error.expected(format!("tables with a name, `[{kind}.NAME]`"));
                value.fail::<()>(error.hint(format!("give it a name: `[{kind}.NAME]`")));
                continue;
            };
            let is_main = std::ptr::eq(value.source, self.main.source());
            for (name, item) in Section::of(table, &value).entries() {
                if is_main && has_keys && !matches!(item.inner, DeValue::Table(_)) {
                    continue; // one of its own keys, or meant to be one
                }
                if !matches!(item.inner, DeValue::Table(_)) {
                    let error = item.error(format!("wrong type: found {}", item.type_name()));
                    let error = error.expected(format!("a table with a name, `[{kind}.NAME]`"));
                    item.fail::<()>(error.hint(format!("put `{name}` into a `[{kind}.NAME]`")));
                    continue;
                }
                // A duplicate is still read, for its own mistakes.
                let fresh = check_name(name, &item).and_then(|()| declared.claim(name.to_owned(), &item));
                let read = item.section().and_then(|section| read(&section, name));
                if let (Some(name), Some(read)) = (fresh, read) {
                    items.insert(name, read);
                }
            }
        }
        Named { items, declared }
    }

    /// The NAME of every `[KIND.NAME]`, before they are read.
    pub(crate) fn names(&self, kind: &'static str) -> Vec<String> {
        let roots = std::iter::once(&self.main).chain(self.included.iter().map(|(root, _)| root));
        let tables = roots.filter_map(|root| root.peek(kind)).filter_map(DeValue::as_table);
        tables.flat_map(|table| table.keys().map(|name| name.get_ref().to_string())).collect()
    }

    /// The value of a kind's key in each file that may have it; reports those that may not.
    fn each(&self, kind: &'static str) -> Vec<Value<'a>> {
        let mut values: Vec<_> = self.main.get(kind).into_iter().collect();
        for (root, it) in &self.included {
            if it.may.contains(&kind) {
                values.extend(root.get(kind));
            } else if let Some(value) = root.refused(kind) {
                let mut may = it.may.clone();
                may.push(kind);
                let may: Vec<_> = may.iter().map(|kind| format!("{kind:?}")).collect();
                refuse(
                    &value,
                    kind,
                    it,
                    &format!(
                        "{} includes this file; there it would take `may = [{}]`",
                        it.place,
                        may.join(", ")
                    ),
                );
            }
        }
        values
    }

    /// Reports what nobody knows, and in included files what only the main one can have.
    pub(crate) fn finish(&self) {
        self.main.finish();
        for (root, it) in &self.included {
            for kind in MAIN_ONLY {
                if let Some(value) = root.refused(kind) {
                    refuse(
                        &value,
                        kind,
                        it,
                        &format!("move it to the main file, {}", it.place.file.display()),
                    );
                }
            }
            root.finish();
        }
    }

    /// What the policies in `[defaults]` are called, also those with mistakes.
    pub(crate) fn default_names(&self) -> Vec<String> {
        let defaults = self.main.get("defaults");
        let policies = defaults.as_ref().and_then(|defaults| defaults.inner.get("policies"));
        let policies = policies.and_then(|policies| policies.get_ref().as_array());
        let name = |policy: &DeValue<'_>| match policy {
            DeValue::Table(_) => env::expand(policy.get("use")?.get_ref().as_str()?).ok(),
            policy => env::expand(policy.as_str()?).ok(),
        };
        policies
            .into_iter()
            .flat_map(|policies| policies.iter())
            .filter_map(|policy| name(policy.get_ref()))
            .collect()
    }

    /// Whether something may be absent only because the TOML around it is broken.
    pub(crate) fn is_lossy(&self) -> bool {
        self.main.source().is_lossy() || self.included.iter().any(|(root, _)| root.source().is_lossy())
    }

    /// Each file as operators may see it.
    pub(crate) fn written(&self) -> serde_json::Value {
        let roots = std::iter::once(&self.main).chain(self.included.iter().map(|(root, _)| root));
        let shown = roots.map(|root| {
            let file = root.source().path.display().to_string();
            serde_json::json!({ "file": file, "content": written::table(root.written()) })
        });
        serde_json::Value::Array(shown.collect())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        let included = self.included.iter().map(|(root, _)| root.source());
        std::iter::once(self.main.source()).chain(included).map(Source::seen).collect()
    }
}

fn refuse(value: &Value<'_>, kind: &str, it: &Included, hint: &str) {
    let may: Vec<_> = it.may.iter().map(|kind| format!("`{kind}`")).collect();
    let expected = if may.is_empty() { "nothing".to_owned() } else { format!("only {}", may.join(", ")) };
    value.fail::<()>(
        value.error(format!("`{kind}` is not allowed in this file")).expected(expected).hint(hint),
    );
}
