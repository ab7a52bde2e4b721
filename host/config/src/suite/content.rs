//! Bodies and headers that are sent.

use std::path::Path;

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::entries;
use crate::section::{Section, section};
use crate::settings::json;
use crate::source::io_phrase;
use crate::units::{MIB, show_size};
use crate::value::{Value, integer, list, readable_file, string};

/// A body that is longer tests nothing that a shorter one does not.
const LARGEST: u64 = 64 * MIB;

/// A body as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// Where the pieces end that it is sent in; none: as a whole, with its length before it.
    pub ends: Option<Vec<usize>>,
    pub is_json: bool,
}

impl Content {
    /// `body` or `json` of a message.
    pub(super) fn read(section: &Section<'_>) -> Option<Content> {
        let body = section.optional("body", Content::of);
        let written = section.optional("json", |value| json(value));
        match (body?, written?) {
            (Some(_), Some(_)) => section.fail("two bodies for one message", "either `body` or `json`"),
            (None, Some(json)) => {
                Some(Content { bytes: json.to_string().into_bytes(), ends: None, is_json: true })
            }
            (body, None) => Some(body.unwrap_or_default()),
        }
    }

    fn of(value: &Value<'_>) -> Option<Content> {
        match value.inner {
            DeValue::String(_) => Some(Content { bytes: string(value)?.into_bytes(), ..Content::default() }),
            DeValue::Array(_) => {
                let (mut bytes, mut ends) = (Vec::new(), Vec::new());
                for piece in list(string)(value)? {
                    bytes.extend_from_slice(piece.as_bytes());
                    ends.push(bytes.len());
                }
                Some(Content { bytes, ends: Some(ends), is_json: false })
            }
            DeValue::Table(_) => Body::read(&value.section()?)?.content(value),
            _ => value
                .wrong_type("a text, an array of texts, or a table like `{ text = \"x\", repeat = 1000 }`"),
        }
    }

    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let whole = [self.bytes.len()];
        let ends = self.ends.clone().unwrap_or(whole.to_vec());
        let mut from = 0;
        ends.into_iter().filter_map(move |end| self.bytes.get(std::mem::replace(&mut from, end)..end))
    }
}

section! {
    /// `body = { text = "x", repeat = 1000, pieces = 100 }`
    struct Body(section) {
        /// `text`, `hex` or `file` (one of them is required): a text; bytes as hexadecimal digits; or the path of a file, relative to
        /// the file of cases.
        once: Vec<u8> = once(section),

        /// `repeat`: how often, 0 to 67108864. Default 1.
        repeat: usize = section.or("repeat", integer(0..=LARGEST as usize), 1),

        /// `pieces`: how many bytes each piece has. Default: it is sent as a whole.
        pieces: Option<usize> = section.optional("pieces", integer(1..=LARGEST as usize)),
    }
}

impl Body {
    fn content(self, value: &Value<'_>) -> Option<Content> {
        let Body { once, repeat, pieces } = self;
        if once.len().saturating_mul(repeat) as u64 > LARGEST {
            let expected = format!("at most {}", show_size(LARGEST));
            return value.fail(value.error("too long a body").expected(expected));
        }
        let bytes = once.repeat(repeat);
        let length = bytes.len();
        let ends =
            pieces.map(|piece| (1..=length.div_ceil(piece)).map(|n| (n * piece).min(length)).collect());
        Some(Content { bytes, ends, is_json: false })
    }
}

fn once(section: &Section<'_>) -> Option<Vec<u8>> {
    let text = section.optional("text", string);
    let bytes = section.optional("hex", hex);
    let file = section.optional("file", |value| contents(value, &readable_file(value)?));
    match (text?, bytes?, file?) {
        (Some(text), None, None) => Some(text.into_bytes()),
        (None, Some(bytes), None) | (None, None, Some(bytes)) => Some(bytes),
        (None, None, None) if !section.is_understood() => None,
        _ => section.fail("not one body", "one of `text`, `hex` and `file`"),
    }
}

fn contents(value: &Value<'_>, file: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Some(bytes),
        Err(why) => value.fail(value.error(format!("cannot read `{}`: {}", file.display(), io_phrase(&why)))),
    }
}

/// Bytes as hexadecimal digits, with spaces where one likes.
pub(super) fn hex(value: &Value<'_>) -> Option<Vec<u8>> {
    const EXPECTED: &str = "bytes as hexadecimal digits, like \"00 ff\"";
    let text = value.text(EXPECTED)?;
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let bytes = digits.filter(|digits| digits.len() % 2 == 0).map(|digits| {
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
    });
    match bytes {
        Some(bytes) => Some(bytes),
        None => value.fail(value.error("not bytes").expected(EXPECTED)),
    }
}

/// Names with a value, or an array of values.
pub(super) fn fields(section: &Section<'_>, key: &'static str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let named = entries(section, key, |name, value| {
        let header = header_name(name, value)?;
        let values = match value.inner {
            DeValue::Array(_) => list(string)(value)?,
            _ => vec![string(value)?],
        };
        let values = values.into_iter().map(|text| match HeaderValue::from_bytes(text.as_bytes()) {
            Ok(it) => Some((header.clone(), it)),
            Err(_) => value.fail(value.error("not the value of a header").expected("no control characters")),
        });
        values.collect::<Option<Vec<_>>>()
    })?;
    Some(named.into_iter().flatten().collect())
}

pub(super) fn header_name(name: &str, value: &Value<'_>) -> Option<HeaderName> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(header) => Some(header),
        Err(_) => value.fail(value.error(format!("not the name of a header: `{name}`"))),
    }
}
