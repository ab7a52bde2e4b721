//! JSON that all who read it read alike: it is UTF-8 (RFC 8259, section 8.1), and no object of it has two members of
//! one name, of which some would take the first and some the last (section 4 there; RFC 7493, section 2.3).

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not read.
#[derive(Debug)]
pub(in crate::native) enum Unreadable {
    NotJson(serde_json::Error),
    /// An object with two members of one name.
    Twice {
        /// Where the object is, as a JSON Pointer (RFC 6901).
        pointer: String,
    },
}

/// Reads all of a text.
pub(in crate::native) fn read(bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut twice = None;
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let read = Reader { twice: &mut twice }.deserialize(&mut text);
    match (read.and_then(|value| text.end().map(|()| value)), twice) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(names)) => {
            let names = names.iter().rev();
            Err(Unreadable::Twice { pointer: names.map(|name| format!("/{name}")).collect() })
        }
        (Err(error), None) => Err(Unreadable::NotJson(error)),
    }
}

/// Whether a media type does not say that its text is anything but UTF-8.
pub(in crate::native) fn may_be_utf8(media: &str) -> bool {
    let parameters = media.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.all(|(_, charset)| {
        let charset = charset.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
    })
}

/// A name, as it stands in a JSON Pointer.
pub(in crate::native) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::NotJson(error) => write!(f, "not JSON: {error}"),
            Unreadable::Twice { .. } => f.write_str("not well formed: an object has two members of one name"),
        }
    }
}

/// Reads a value, and keeps the way to an object that has a name twice, innermost first.
struct Reader<'t> {
    twice: &'t mut Option<Vec<String>>,
}

impl Reader<'_> {
    fn below<E>(
        &mut self,
        name: impl FnOnce() -> String,
        read: impl FnOnce(Reader<'_>) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let read = read(Reader { twice: self.twice });
        if let (Err(_), Some(names)) = (&read, &mut *self.twice) {
            names.push(name());
        }
        read
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let mut is_over = false;
            let value = self.below(
                || list.len().to_string(),
                |reader| {
                    let next = all.next_element_seed(reader)?;
                    is_over = next.is_none();
                    Ok(next.unwrap_or_default())
                },
            )?;
            if is_over {
                return Ok(Value::Array(list));
            }
            list.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut all: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = all.next_key::<String>()? {
            if object.contains_key(&name) {
                *self.twice = Some(Vec::new());
                return Err(A::Error::custom("a name that is there twice"));
            }
            let value = self.below(|| escaped(&name), |reader| all.next_value_seed(reader))?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> String {
        match read(text.as_bytes()) {
            Err(Unreadable::Twice { pointer }) => pointer,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_name_is_there_once() {
        let text =
            r#" {"a": [1, -1, 1.5, true, null, "x\n", {}, [{"a": 1}]], "b": {"a": 18446744073709551615}} "#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(pointer(r#"{"a": 1, "b": 2, "a": 1}"#), "");
        assert_eq!(pointer(r#"{"a": 1, "\u0061": 1}"#), "");
        assert_eq!(pointer(r#"[0, {"a/~": {"b": {"c": 1, "c": 2}}}]"#), "/1/a~1~0/b");
        for text in ["", "{", "1 2", "[1,]", "\u{0}", &"[".repeat(100_000), "1e999"] {
            assert!(matches!(read(text.as_bytes()), Err(Unreadable::NotJson(_))), "{text:.20}");
        }
    }

    #[test]
    fn a_charset_is_that_of_json() {
        for media in ["application/json", "a/json; charset=UTF-8", "a/json;x=y ; Charset=\"us-ascii\""] {
            assert!(may_be_utf8(media), "{media}");
        }
        for media in
            ["a/json;charset=utf-16", "a/json; charset=utf-8; charset=utf-7", "a/json; CHARSET = \"utf-32\""]
        {
            assert!(!may_be_utf8(media), "{media}");
        }
    }
}
