//! `[secret.NAME]`

use std::path::PathBuf;

use crate::Place;
use crate::section::{Section, section};
use crate::value::{Value, file_to_be_opened};

section! {
    /// `[secret.NAME]`: a value that policies use by its name. It is read from where it is kept, and again
    /// when a file of the configuration changes, its own among them; nobody gets to see it. What is read is at most 64 KiB; a
    /// line break at its end is no part of it.
    pub struct Secret(section, name: &str) {
        /// What grants and key sets call it.
        pub name: String = Some(name.to_owned()),

        /// `previous`: `{ file = "..." }` or `{ env = "..." }`: what it was before, while it is being
        /// replaced: hashes made with either are accepted. Default: none.
        pub previous: Option<SecretSource> = section.optional("previous", SecretSource::of_table),

        /// `file` or `env` (one of them is required): the path of the file that holds it, relative to the file that
        /// names it, or the name of an environment variable.
        pub current: SecretSource = SecretSource::read(section),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    /// The name of an environment variable.
    Environment(String),
    /// Here it is: in a file of cases, where it is none.
    Written(String),
}

impl SecretSource {
    fn read(section: &Section<'_>) -> Option<SecretSource> {
        let file = section.optional("file", file_to_be_opened);
        let env = section.optional("env", variable);
        match (file?, env?) {
            (Some(file), None) => Some(SecretSource::File(file)),
            (None, Some(env)) => Some(SecretSource::Environment(env)),
            (None, None) if !section.is_understood() => None,
            (None, None) => section.fail("no value", "`file` or `env`"),
            (Some(_), Some(_)) => section.fail("two values", "either `file` or `env`"),
        }
    }

    fn of_table(value: &Value<'_>) -> Option<SecretSource> {
        let section = value.section()?;
        let source = SecretSource::read(&section);
        section.finish();
        source
    }

    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            SecretSource::File(file) => Some(file),
            SecretSource::Environment(_) | SecretSource::Written(_) => None,
        }
    }
}

fn variable(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of an environment variable";
    let name = value.text(EXPECTED)?;
    if name.is_empty() || name.contains(['=', '\0', '$', '{']) {
        return value.fail(value.error("not a name").expected(EXPECTED));
    }
    Some(name)
}
