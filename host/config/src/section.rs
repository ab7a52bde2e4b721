//! A table of the file, walked key by key.
//!
//! A [`Section`] hands out its keys, remembers which were asked for, and at the end reports those
//! that nobody knows. Every mistake goes to the one [`Sink`], and reading goes on. A reader answers
//! `None` when it has reported a mistake.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::source::{Document, Source};
use crate::suggest::{nearest, one_of};
use crate::value::Value;
use crate::{ConfigError, Errors, Place};

/// Declares a section of the file as the struct that it becomes: each key once, with its doc, its
/// type, its name, its range and its default.
///
/// ```text
/// section! {
///     /// `[gateway]`: the process as a whole.
///     pub struct Gateway(section) {
///         /// How many workers serve, 1 to 1024. Left out: one per core.
///         pub workers: Option<usize> = section.optional("workers", integer(1..=1024)),
///     }
/// }
/// ```
///
/// All keys are read before `None` is answered for any of them, so that all mistakes are reported.
/// A later key can look at an earlier one, which is then an `Option` of its type.
macro_rules! section {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident($section:ident $(, $with:ident: $type_of_with:ty)*) {
            $($(#[$doc:meta])* $field_vis:vis $field:ident: $type:ty = $read:expr,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[$doc])* $field_vis $field: $type,)*
        }

        impl $name {
            pub(crate) fn read($section: &$crate::section::Section<'_> $(, $with: $type_of_with)*) -> Option<Self> {
                $(let $field: Option<$type> = $read;)*
                $section.finish();
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}
pub(crate) use section;

/// Where all mistakes go.
#[derive(Debug)]
pub(crate) struct Sink {
    errors: RefCell<Vec<ConfigError>>,
    /// Those that are reported only beside others.
    aside: RefCell<Vec<ConfigError>>,
    /// What a table that was left out is read as.
    empty: DeValue<'static>,
}

impl Default for Sink {
    fn default() -> Sink {
        Sink { errors: RefCell::default(), aside: RefCell::default(), empty: DeValue::Table(DeTable::new()) }
    }
}

impl Sink {
    /// An empty table.
    pub(crate) fn empty(&self) -> &DeValue<'static> {
        &self.empty
    }

    pub(crate) fn push(&self, error: ConfigError) {
        self.errors.borrow_mut().push(error);
    }

    pub(crate) fn push_aside(&self, error: ConfigError) {
        self.aside.borrow_mut().push(error);
    }

    /// All that was reported, without what only follows from mistakes in a file's TOML.
    pub(crate) fn into_errors<'s>(
        self,
        syntax: Vec<ConfigError>,
        sources: impl Iterator<Item = &'s Source>,
    ) -> Errors {
        let sources: Vec<_> = sources.collect();
        let trusted = |error: &ConfigError| {
            let source =
                sources.iter().find(|source| source.order == error.place.order && error.place.line > 0);
            source.is_none_or(|source| source.is_trusted(&error.place))
        };
        let errors = self.errors.into_inner().into_iter().filter(trusted);
        let mut all: Vec<_> = syntax.into_iter().chain(errors).collect();
        if !all.is_empty() {
            all.append(&mut self.aside.into_inner());
        }
        all.into_iter().collect()
    }
}

/// A table and what is known of its keys.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    table: &'a DeTable<'a>,
    span: Range<usize>,
    key: String,
    known: RefCell<Vec<&'static str>>,
    refused: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<&'static str>>,
    /// Whether tables in it are named by the user, and are read elsewhere.
    has_names: Cell<bool>,
    source: &'a Source,
    sink: &'a Sink,
}

impl<'a> Section<'a> {
    /// A file's top level.
    pub(crate) fn root(document: &'a Document<'a>, sink: &'a Sink) -> Section<'a> {
        Section {
            table: &document.table,
            span: 0..0,
            key: String::new(),
            known: RefCell::default(),
            refused: RefCell::default(),
            missing: RefCell::default(),
            has_names: Cell::default(),
            source: &document.source,
            sink,
        }
    }

    pub(crate) fn of(table: &'a DeTable<'a>, value: &Value<'a>) -> Section<'a> {
        Section {
            table,
            span: value.span.clone(),
            key: value.key.clone(),
            known: RefCell::default(),
            refused: RefCell::default(),
            missing: RefCell::default(),
            has_names: Cell::default(),
            source: value.source,
            sink: value.sink,
        }
    }

    /// The value of a key, which is from now on a known one.
    pub(crate) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let (name, value) = self.table.get_key_value(key)?;
        Some(self.entry(name, value))
    }

    /// The value of a key, without making it a known one.
    pub(crate) fn peek(&self, key: &str) -> Option<&'a DeValue<'a>> {
        self.table.get(key).map(Spanned::get_ref)
    }

    /// All that is written here.
    pub(crate) fn written(&self) -> &'a DeTable<'a> {
        self.table
    }

    /// The value of a key that is known but does not belong here; the caller reports it.
    pub(crate) fn refused(&self, key: &'static str) -> Option<Value<'a>> {
        self.refused.borrow_mut().push(key);
        let (name, value) = self.table.get_key_value(key)?;
        Some(self.entry(name, value))
    }

    /// Tables in it have names of the user's, and are read elsewhere.
    pub(crate) fn pass_over_tables(&self) {
        self.has_names.set(true);
    }

    /// Every entry of a table whose keys are the user's own names.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.table.iter().map(|(name, value)| (name.get_ref().as_ref(), self.entry(name, value)))
    }

    fn entry(
        &self,
        name: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Value<'a> {
        Value {
            inner: value.get_ref(),
            span: value.span(),
            key: join(&self.key, name.get_ref()),
            source: self.source,
            sink: self.sink,
        }
    }

    /// A key that must be there.
    pub(crate) fn required<T>(&self, key: &'static str, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<T> {
        let value = self.get(key);
        if value.is_none() {
            self.missing.borrow_mut().push(key);
        }
        read(&value?)
    }

    /// A key that may be left out.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(key) {
            Some(value) => read(&value).map(Some),
            None => Some(None),
        }
    }

    /// A key with a default.
    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Value<'a>) -> Option<T>,
        default: T,
    ) -> Option<T> {
        Some(self.optional(key, read)?.unwrap_or(default))
    }

    /// A table that, left out, is an empty one: its keys have defaults of their own.
    pub(crate) fn table<T>(&self, key: &'static str, read: impl Fn(&Section<'a>) -> Option<T>) -> Option<T> {
        match self.get(key) {
            Some(value) => read(&value.section()?),
            None => {
                let key = join(&self.key, key);
                let empty = Value {
                    inner: &self.sink.empty,
                    span: self.span.clone(),
                    key,
                    source: self.source,
                    sink: self.sink,
                };
                read(&empty.section()?)
            }
        }
    }

    /// Reports every key that was never asked for, and every one that must be there and is not.
    /// A key that looks like a missing one is that one, misspelt: one mistake, not two. Answers
    /// whether all is well.
    pub(crate) fn finish(&self) -> bool {
        let known = self.known.borrow();
        let mut missing = self.missing.borrow_mut();
        let mut unknown = false;
        for (name, value) in self.table.iter() {
            let written = name.get_ref().as_ref();
            if known.contains(&written) || self.refused.borrow().contains(&written) {
                continue;
            }
            if self.has_names.get() && matches!(value.get_ref(), DeValue::Table(_)) {
                continue;
            }
            unknown = true;
            let near = nearest(written, known.iter().copied());
            missing.retain(|key| near != Some(*key));
            // The value's key path, but the place of the key.
            let place = self.source.place(name.span(), &self.entry(name, value).key);
            self.sink.push(
                ConfigError::new(place, format!("unknown key `{written}`"))
                    .expected(one_of(known.iter().copied()))
                    .maybe_hint(near.map(|near| format!("did you mean `{near}`?"))),
            );
        }
        // What is not there may also have been lost with broken TOML.
        for key in missing.iter().filter(|_| !self.source.is_lossy()) {
            let mut place = self.place();
            place.key = join(&self.key, key);
            let error = ConfigError::new(place, format!("missing key `{key}`"));
            self.sink.push(error.expected(format!("`{key}` in `{}`", self.key)));
        }
        missing.is_empty() && !unknown
    }

    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span.clone(), &self.key)
    }

    /// A mistake of the section as a whole.
    pub(crate) fn fail<T>(&self, message: &str, expected: &str) -> Option<T> {
        self.sink.push(ConfigError::new(self.place(), message).expected(expected));
        None
    }

    /// Whether every key was asked for by now: one that nobody knows may have meant any of them.
    pub(crate) fn is_understood(&self) -> bool {
        let known = self.known.borrow();
        self.table.iter().all(|(name, _)| known.contains(&name.get_ref().as_ref()))
    }

    /// As `fail`, with a hint.
    pub(crate) fn fail_with<T>(&self, message: &str, expected: &str, hint: String) -> Option<T> {
        self.sink.push(ConfigError::new(self.place(), message).expected(expected).hint(hint));
        None
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }
}

/// A key path: names that TOML would quote are quoted.
pub(crate) fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
