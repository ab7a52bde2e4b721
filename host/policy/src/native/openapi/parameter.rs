//! Parameters of requests, and headers of responses.

use http::HeaderMap;
use http::header::{self, HeaderName};
use serde_json::Value;

use super::pairs::Pairs;
use super::schema::{Schema, Schemas, Validators, Way};
use super::shape::Shape;
use super::style::{Style, Written, decoded};
use super::violation::{Place, Violations};
use crate::native::description::{Files, Found, Spot, Wrong};
use crate::native::unambiguous::{self, Unreadable};

/// One value beside the body.
pub(super) struct Parameter {
    name: String,
    place: Place,
    /// Where it is looked for, if it is a header.
    header: Option<HeaderName>,
    required: bool,
    allow_empty: bool,
    writing: Writing,
    schema: Option<Schema>,
    shape: Shape,
}

enum Writing {
    Styled {
        style: Style,
        explode: bool,
    },
    /// A text of this media type.
    Content {
        is_json: bool,
    },
}

/// What parameters are read from.
pub(super) struct Source<'m> {
    pub(super) found: Option<&'m Found<'m, 'm>>,
    pub(super) headers: &'m HeaderMap,
    pub(super) query: &'m Pairs<'m>,
    pub(super) cookies: &'m Pairs<'m>,
}

impl Parameter {
    /// None for what is not a parameter: headers that are described elsewhere.
    pub(super) fn read(files: &Files, schemas: &mut Schemas<'_>, spot: &Spot) -> Result<Option<Self>, Wrong> {
        let written = files.get(spot).unwrap_or(&Value::Null);
        let text = |key: &str| written.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("name");
        let (place, style) = match &*text("in") {
            "path" => (Place::Path(name), Style::Simple),
            "query" => (Place::Query(name), Style::Form),
            "header" => (Place::Header(name), Style::Simple),
            "cookie" => (Place::Cookie(name), Style::Form),
            other => return Err(spot.is_wrong(format!("a parameter in `{other}`"))),
        };
        Self::of(files, schemas, spot, Way::Request, place, style)
    }

    /// A header of a response.
    pub(super) fn header(
        files: &Files,
        schemas: &mut Schemas<'_>,
        name: &str,
        spot: &Spot,
    ) -> Result<Option<Self>, Wrong> {
        Self::of(files, schemas, spot, Way::Response, Place::Header(name.to_owned()), Style::Simple)
    }

    fn of(
        files: &Files,
        schemas: &mut Schemas<'_>,
        spot: &Spot,
        way: Way,
        place: Place,
        usual: Style,
    ) -> Result<Option<Self>, Wrong> {
        let written = files.get(spot).unwrap_or(&Value::Null);
        let name = match &place {
            Place::Path(name) | Place::Query(name) | Place::Header(name) | Place::Cookie(name) => {
                name.clone()
            }
            Place::Body | Place::Status => String::new(),
        };
        let header = match &place {
            Place::Header(name) => {
                let name = name.parse::<HeaderName>();
                Some(name.map_err(|_| spot.is_wrong("not a header's name"))?)
            }
            _ => None,
        };
        if matches!(header, Some(header::ACCEPT | header::CONTENT_TYPE | header::AUTHORIZATION)) {
            return Ok(None);
        }
        let flag = |key: &str| written.get(key).and_then(Value::as_bool);
        let style = match written.get("style").and_then(Value::as_str) {
            None => usual,
            Some(name) => Style::read(name)
                .filter(|style| fits(*style, &place))
                .ok_or_else(|| spot.is_wrong(format!("a parameter of the style `{name}` there")))?,
        };
        let content = written.get("content").and_then(Value::as_object).and_then(|all| all.keys().next());
        let (writing, at) = match content {
            Some(media) => {
                let is_json = super::media::is_json(media);
                (Writing::Content { is_json }, spot.at("content").at(media).at("schema"))
            }
            None => {
                let explode = flag("explode").unwrap_or(style == Style::Form);
                (Writing::Styled { style, explode }, spot.at("schema"))
            }
        };
        let schema = files.get(&at).is_some().then(|| schemas.want(way, &at));
        let shape = Shape::of(files, &at);
        let required = flag("required").unwrap_or(false) || matches!(place, Place::Path(_));
        let allow_empty = flag("allowEmptyValue").unwrap_or(false) && matches!(place, Place::Query(_));
        Ok(Some(Parameter { name, place, header, required, allow_empty, writing, schema, shape }))
    }

    /// Whether a query's parameter of that name belongs to it.
    pub(super) fn takes(&self, name: &str) -> bool {
        if !matches!(self.place, Place::Query(_)) {
            return false;
        }
        match self.writing {
            Writing::Styled { style: Style::DeepObject, .. } => {
                name.strip_prefix(&*self.name).is_some_and(|rest| rest.starts_with('['))
            }
            Writing::Styled { explode: true, .. } if self.shape.is_object() => {
                name == self.name || self.shape.has(name)
            }
            _ => name == self.name,
        }
    }

    pub(super) fn check(&self, source: &Source<'_>, validators: &Validators, violations: &mut Violations) {
        let place = &self.place;
        if self.allow_empty && source.query.is_empty(&self.name) {
            return;
        }
        let text = self.text(source);
        let written = match &self.writing {
            Writing::Styled { style, explode } => self.written(source, *style, *explode, text.as_deref()),
            Writing::Content { is_json: true } => text.as_ref().map(|text| match self.place {
                Place::Path(_) => json(&decoded(text)),
                _ => json(text),
            }),
            Writing::Content { is_json: false } => text.clone().map(|text| Ok(Value::String(text))),
        };
        match written {
            None if self.required => violations.add(place, "it is required, and is not there"),
            None => {}
            Some(Err(why)) => violations.add(place, why),
            Some(Ok(value)) => {
                let Some(checker) = self.schema.and_then(|schema| validators.get(schema)) else { return };
                let text = match self.place {
                    Place::Path(_) => text.as_deref().map(decoded),
                    _ => text,
                };
                let text = text.unwrap_or_default();
                violations.check_text(place, &checker, &self.shape, value, &text);
            }
        }
    }

    /// The one text that it is, if it is one: still encoded in a path.
    fn text(&self, source: &Source<'_>) -> Option<String> {
        match self.place {
            Place::Path(_) => source.found?.value(&self.name).map(str::to_owned),
            Place::Query(_) => source.query.text(&self.name),
            Place::Cookie(_) => source.cookies.text(&self.name),
            Place::Header(_) => {
                let lines = source.headers.get_all(self.header.as_ref()?).iter();
                let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
                (!lines.is_empty()).then(|| lines.join(","))
            }
            Place::Body | Place::Status => None,
        }
    }

    fn written(
        &self,
        source: &Source<'_>,
        style: Style,
        explode: bool,
        text: Option<&str>,
    ) -> Option<Written> {
        match self.place {
            Place::Path(_) => Some(style.in_path(explode, &self.name, &self.shape, text?)),
            Place::Header(_) => Some(Style::in_header(explode, &self.shape, text?)),
            Place::Query(_) => source.query.value(&self.name, style, explode, &self.shape),
            // Cookies have no way to repeat a name: a list is always written in one.
            Place::Cookie(_) => {
                let explode = explode && !self.shape.is_array();
                source.cookies.value(&self.name, style, explode, &self.shape)
            }
            Place::Body | Place::Status => None,
        }
    }
}

fn json(text: &str) -> Written {
    unambiguous::read(text.as_bytes()).map_err(|why| match why {
        Unreadable::NotJson(_) => "it is not JSON",
        Unreadable::Twice { .. } => "it is not well formed: an object has two members of one name",
    })
}

/// Which styles there are where (OpenAPI, section "Style Values").
fn fits(style: Style, place: &Place) -> bool {
    match place {
        Place::Path(_) => matches!(style, Style::Simple | Style::Label | Style::Matrix),
        Place::Query(_) => {
            matches!(style, Style::Form | Style::SpaceDelimited | Style::PipeDelimited | Style::DeepObject)
        }
        Place::Header(_) => style == Style::Simple,
        Place::Cookie(_) => style == Style::Form,
        Place::Body | Place::Status => false,
    }
}
