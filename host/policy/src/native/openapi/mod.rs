//! `openapi`: lets requests pass that are as an OpenAPI document describes them.
//!
//! ```toml
//! policies = [{ use = "openapi", with = { document = "api.yaml", unknown_query = "refuse" } }]
//! ```
//!
//! The document is OpenAPI 3.0 or 3.1, in YAML or JSON; `$ref` may lead to files in its folder and below, and
//! nowhere else. All of it that is used is compiled when the configuration is loaded. A path that it does not
//! describe gets 404, a method 405, a body of another type 415; what else is not as described 400 (or 422), with
//! every mistake in the problem's member `errors`: where it is (`in`, `name`), a JSON Pointer to it and what is
//! wrong (of a large body only that it is wrong, where to look for mistakes would take too long). Checked are parameters in all styles, and bodies that are JSON (in UTF-8, and no object with two members of one name), forms (also multipart) or plain text,
//! up to `body`; bodies of other types, and those without a schema, stream on unread, and so do bodies of
//! operations that have none. Security requirements are for the policies before this one.
//!
//! `limen openapi routes api.yaml` prints a route for each operation, to be included. A named policy that stands
//! on many routes is compiled once.
//!
//! Schemas are JSON Schema 2020-12; those of 3.0 are rewritten to it. `nullable` allows null whatever else is
//! said. A `discriminator` beside `oneOf` or `anyOf` chooses the schema. Of formats, `byte`, `date`, `date-time`,
//! `duration`, `email`, `hostname`, `int32`, `int64`, `ipv4`, `ipv6`, `iri`, `iri-reference`, `json-pointer`,
//! `regex`, `relative-json-pointer`, `time`, `uri`, `uri-reference`, `uri-template` and `uuid` are checked;
//! others say nothing. Patterns take linear time: those with look-around or back-references are refused at
//! load.

mod answers;
mod guard;
mod media;
mod multipart;
mod operation;
mod pairs;
mod parameter;
mod report;
mod schema;
mod shape;
mod style;
mod violation;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Deserialize;
use serde_json::Value;

use self::guard::Guard;
use self::report::Reports;
use super::description::Stamp;
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat};

/// `openapi`: which document, and how strict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `document` (required): the path of the document, relative to the file that names it. When it changes, or a
    /// file that it refers to, it is read again.
    document: String,
    /// `base`: what paths begin with before the ones of the document. Default: the paths of its `servers`.
    #[serde(default)]
    base: Option<String>,
    /// `mode`: `"refuse"`, or `"report"`: everything passes, the log tells what would not have (ten lines a second at
    /// most), and the metric `limen_policy_decisions_total` counts all of it, by route, with `limen_verdict="report"` and
    /// in `limen_reason` why. Bodies whose length is not said, or is more than `body`, are not looked at then.
    /// Default `"refuse"`.
    #[serde(default)]
    mode: Mode,
    /// `unknown`: paths and methods that are not described: `"refuse"` or `"pass"`. Default `"refuse"`.
    #[serde(default)]
    unknown: Strictness,
    /// `unknown_query`: query parameters that are not described: `"refuse"` or `"pass"`. Default `"pass"`.
    #[serde(default = "pass")]
    unknown_query: Strictness,
    /// `read_only`: properties that are `readOnly` in a request, or `writeOnly` in a response: `"refuse"` or
    /// `"pass"`. That they are required never counts there. Default `"refuse"`.
    #[serde(default)]
    read_only: Strictness,
    /// `formats`: whether `format` is checked. Default `true`.
    #[serde(default = "yes")]
    formats: bool,
    /// `responses`: whether responses are checked as well. One that is not as described becomes 502; one that is
    /// too long or encoded is a failure of the policy (`on_error`). Default `false`.
    #[serde(default)]
    responses: bool,
    /// `status`: that of a refusal, 400 or 422. Default 400.
    #[serde(default = "bad_request")]
    status: u16,
    /// `errors`: the most mistakes that are told of one message, 1 to 100. Default 20.
    #[serde(default = "twenty")]
    errors: usize,
    /// `body`: the longest body that is read to be checked; a longer one gets 413. Default `"1MiB"`.
    #[serde(default = "mebibyte")]
    body: Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Refuse,
    Report,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Strictness {
    #[default]
    Refuse,
    Pass,
}

fn pass() -> Strictness {
    Strictness::Pass
}

fn yes() -> bool {
    true
}

fn bad_request() -> u16 {
    400
}

fn twenty() -> usize {
    20
}

fn mebibyte() -> Size {
    Size(1 << 20)
}

pub(super) fn build(written: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(written)?;
    if settings.status != 400 && settings.status != 422 {
        return Err(SettingsError::new("/status", "400 or 422"));
    }
    if !(1..=100).contains(&settings.errors) {
        return Err(SettingsError::new("/errors", "1 to 100"));
    }
    if settings.base.as_ref().is_some_and(|base| !base.is_empty() && !base.starts_with('/')) {
        return Err(SettingsError::new("/base", "a path begins with `/`"));
    }
    let document = materials.folder.join(&settings.document);
    let shared = materials.kept(Shared::default);
    let reports = materials.kept(Reports::default);
    let open = || Guard::open(settings, &document, materials.documents, reports);
    let guard = shared.take(written, &document, open)?;
    Ok(Box::new(OpenApi { guard, _shared: shared }))
}

/// A policy that stands on many routes is one, and compiled once.
#[derive(Default)]
struct Shared(Mutex<Option<Known>>);

/// What is compiled already, and of what.
struct Known {
    written: Value,
    document: PathBuf,
    stamps: Vec<Stamp>,
    guard: Weak<Guard>,
}

impl Shared {
    fn take(
        &self,
        written: &Value,
        document: &Path,
        new: impl FnOnce() -> Result<(Guard, Vec<Stamp>), SettingsError>,
    ) -> Result<Arc<Guard>, SettingsError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &&Known| {
            known.written == *written
                && known.document == document
                && known.stamps.iter().all(Stamp::is_current)
        };
        if let Some(guard) = known.as_ref().filter(is_same).and_then(|known| known.guard.upgrade()) {
            return Ok(guard);
        }
        let (guard, stamps) = new()?;
        let guard = Arc::new(guard);
        let (written, document) = (written.clone(), document.to_owned());
        *known = Some(Known { written, document, stamps, guard: Arc::downgrade(&guard) });
        Ok(guard)
    }
}

struct OpenApi {
    guard: Arc<Guard>,
    /// Kept as long as somebody holds it.
    _shared: Arc<Shared>,
}

impl Policy for OpenApi {
    fn phases(&self) -> Phases {
        self.guard.phases()
    }

    fn body_limit(&self) -> u64 {
        self.guard.body_limit()
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        self.guard.call(phase, exchange, seat)
    }
}
