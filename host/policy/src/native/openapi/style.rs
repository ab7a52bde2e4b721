//! How a parameter's value is written (`style` and `explode`), and back.
//!
//! Values are split before they are decoded: an escaped delimiter is a part of a value.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::shape::Shape;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

/// A value, or what is wrong with how it is written.
pub(super) type Written = Result<Value, &'static str>;

impl Style {
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name {
            "simple" => Style::Simple,
            "label" => Style::Label,
            "matrix" => Style::Matrix,
            "form" => Style::Form,
            "spaceDelimited" => Style::SpaceDelimited,
            "pipeDelimited" => Style::PipeDelimited,
            "deepObject" => Style::DeepObject,
            _ => return None,
        })
    }

    /// A parameter of a path.
    pub(super) fn in_path(self, explode: bool, name: &str, shape: &Shape, raw: &str) -> Written {
        match self {
            Style::Label => {
                let raw = raw.strip_prefix('.').ok_or("it does not begin with `.`")?;
                joined(shape, raw, if explode { "." } else { "," }, explode, decoded)
            }
            Style::Matrix => {
                let raw = raw.strip_prefix(';').ok_or("it does not begin with `;`")?;
                if explode && shape.is_object() {
                    return joined(shape, raw, ";", true, decoded);
                }
                let own = |part| named(part, name).ok_or("it has another name");
                if explode && shape.is_array() {
                    let parts = raw.split(';').map(own).collect::<Result<Vec<_>, _>>()?;
                    return Ok(shape.array(parts.into_iter().map(decoded)));
                }
                joined(shape, own(raw)?, ",", false, decoded)
            }
            _ => joined(shape, raw, ",", explode, decoded),
        }
    }

    /// A header, whose values are not percent-encoded.
    pub(super) fn in_header(explode: bool, shape: &Shape, text: &str) -> Written {
        joined(shape, text, ",", explode, |part| part.trim().to_owned())
    }

    /// A value that stands for itself in a query, a form or a cookie; `decode` undoes their encoding.
    pub(super) fn in_pair(self, shape: &Shape, raw: &str, decode: fn(&str) -> String) -> Written {
        match self {
            // As it is written, and as most encode it.
            Style::SpaceDelimited => joined(shape, &raw.replace("%20", "+"), "+", false, decode),
            Style::PipeDelimited => {
                joined(shape, &raw.replace("%7C", "|").replace("%7c", "|"), "|", false, decode)
            }
            _ => joined(shape, raw, ",", false, decode),
        }
    }
}

/// A list or an object in one text, or one value.
fn joined(shape: &Shape, raw: &str, by: &str, explode: bool, decode: impl Fn(&str) -> String) -> Written {
    if shape.is_array() {
        let parts = raw.split(by).filter(|_| !raw.is_empty());
        return Ok(shape.array(parts.map(decode)));
    }
    if !shape.is_object() {
        return Ok(shape.value(decode(raw)));
    }
    let mut entries = Vec::new();
    let mut parts = raw.split(by).filter(|_| !raw.is_empty());
    while let Some(part) = parts.next() {
        let (name, value) = match explode {
            true => part.split_once('=').ok_or("a part of it is no `name=value`")?,
            false => (part, parts.next().ok_or("a name without a value")?),
        };
        entries.push((decode(name), decode(value)));
    }
    Ok(shape.object(entries.into_iter()))
}

/// What stands behind "name=".
fn named<'r>(part: &'r str, name: &str) -> Option<&'r str> {
    match part.split_once('=') {
        Some((own, value)) => (decoded(own) == name).then_some(value),
        None => (decoded(part) == name).then_some(""),
    }
}

pub(super) fn decoded(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// As in forms, where a `+` is a space.
pub(super) fn decoded_in_form(raw: &str) -> String {
    match raw.contains('+') {
        true => decoded(&raw.replace('+', " ")),
        false => decoded(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::Pairs;
    use super::*;
    use crate::native::openapi::shape::tests::shape;
    use serde_json::json;

    /// The table of OpenAPI, section "Style Examples", but for what it calls undefined.
    #[test]
    fn all_styles_are_read_as_they_are_written() {
        let one = json!({ "type": "string" });
        let list = json!({ "type": "array", "items": { "type": "string" } });
        let whole =
            json!({ "type": "object", "properties": { "R": { "type": "integer" }, "G": {}, "B": {} } });
        let (blue, colors) = (json!("blue"), json!(["blue", "black", "brown"]));
        let rgb = json!({ "R": 100, "G": "200", "B": "150" });
        for (style, explode, schema, raw, value) in [
            (Style::Matrix, false, &one, ";color=blue", &blue),
            (Style::Matrix, false, &list, ";color=blue,black,brown", &colors),
            (Style::Matrix, false, &whole, ";color=R,100,G,200,B,150", &rgb),
            (Style::Matrix, true, &list, ";color=blue;color=black;color=brown", &colors),
            (Style::Matrix, true, &whole, ";R=100;G=200;B=150", &rgb),
            (Style::Label, false, &one, ".blue", &blue),
            (Style::Label, false, &list, ".blue,black,brown", &colors),
            (Style::Label, false, &whole, ".R,100,G,200,B,150", &rgb),
            (Style::Label, true, &list, ".blue.black.brown", &colors),
            (Style::Label, true, &whole, ".R=100.G=200.B=150", &rgb),
            (Style::Simple, false, &one, "bl%75e", &blue),
            (Style::Simple, false, &list, "blue,black,brown", &colors),
            (Style::Simple, false, &whole, "R,100,G,200,B,150", &rgb),
            (Style::Simple, true, &whole, "R=100,G=200,B=150", &rgb),
        ] {
            let written = style.in_path(explode, "color", &shape(schema), raw);
            assert_eq!(written.as_ref(), Ok(value), "{style:?} {explode} {raw}");
        }
        for (style, explode, schema, raw, value) in [
            (Style::Form, true, &one, "color=blue", &blue),
            (Style::Form, true, &list, "color=blue&color=black&color=brown", &colors),
            (Style::Form, true, &whole, "R=100&G=200&B=150", &rgb),
            (Style::Form, false, &list, "color=blue,black,brown", &colors),
            (Style::Form, false, &whole, "color=R,100,G,200,B,150", &rgb),
            (Style::SpaceDelimited, false, &list, "color=blue%20black+brown", &colors),
            (Style::SpaceDelimited, false, &whole, "color=R%20100%20G%20200%20B%20150", &rgb),
            (Style::PipeDelimited, false, &list, "color=blue|black%7Cbrown", &colors),
            (Style::PipeDelimited, false, &whole, "color=R|100|G|200|B|150", &rgb),
            (Style::DeepObject, true, &whole, "color[R]=100&color%5BG%5D=200&color[B]=150", &rgb),
        ] {
            let written = Pairs::of_query(raw).value("color", style, explode, &shape(schema));
            assert_eq!(written, Some(Ok(value.clone())), "{style:?} {explode} {raw}");
        }
        let plain = shape(&one);
        assert_eq!(Pairs::of_query("a=1").value("color", Style::Form, true, &plain), None);
        assert!(
            Pairs::of_query("color=1&color=2").value("color", Style::Form, true, &plain).unwrap().is_err()
        );
        assert!(Style::Label.in_path(false, "color", &plain, "blue").is_err());
        assert!(Style::Matrix.in_path(false, "color", &plain, ";other=blue").is_err());
        assert!(Style::in_header(false, &shape(&whole), "R, 100, G").is_err());
    }
}
