//! Whether something is as it has to be; if not, what it has to be and what it is, in words.

use http::{HeaderMap, HeaderName};
use limen_config::suite::{HeaderMatch, TextMatch};
use serde_json::Value as Json;

type Unlike = Option<(String, String)>;

pub fn header(wanted: &HeaderMatch, headers: &HeaderMap, name: &HeaderName) -> Unlike {
    let found: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    let shown = || match &found[..] {
        [] => "absent".to_owned(),
        values => values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "),
    };
    match wanted {
        HeaderMatch::Absent => (!found.is_empty()).then(|| ("absent".to_owned(), shown())),
        HeaderMatch::Present => found.is_empty().then(|| ("present".to_owned(), shown())),
        HeaderMatch::Values(values) => {
            let same = values.iter().map(String::as_bytes).eq(found.iter().copied());
            let wanted = || values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
            (!same).then(|| (wanted(), shown()))
        }
        HeaderMatch::Text(wanted) => match found.first() {
            Some(first) => text(wanted, first),
            None => Some((described(wanted), shown())),
        },
    }
}

pub fn text(wanted: &TextMatch, found: &[u8]) -> Unlike {
    let TextMatch { is, hex, contains, lacks, matches, length } = wanted;
    let has = |part: &String| part.is_empty() || memchr::memmem::find(found, part.as_bytes()).is_some();
    if let Some(is) = is
        && is.as_bytes() != found
    {
        // Several lines are compared as such.
        let several = is.contains('\n') || found.contains(&b'\n');
        return Some(match several {
            true => (is.clone(), String::from_utf8_lossy(found).into_owned()),
            false => (quoted(is.as_bytes()), quoted(found)),
        });
    }
    if let Some(bytes) = hex
        && bytes != found
    {
        return Some((spelt(bytes), spelt(found)));
    }
    let well = contains.iter().all(has)
        && !lacks.iter().any(has)
        && matches.as_ref().is_none_or(|pattern| pattern.matches(found))
        && length.is_none_or(|length| length == found.len());
    let shown = || match length {
        Some(_) => format!("{} bytes: {}", found.len(), quoted(found)),
        None => quoted(found),
    };
    (!well).then(|| (described(wanted), shown()))
}

/// What a text has to be.
pub fn described(wanted: &TextMatch) -> String {
    let TextMatch { is, hex, contains, lacks, matches, length } = wanted;
    let mut said = Vec::new();
    said.extend(is.iter().map(|is| quoted(is.as_bytes())));
    said.extend(hex.iter().map(|bytes| spelt(bytes)));
    said.extend(contains.iter().map(|part| format!("something with {part:?}")));
    said.extend(lacks.iter().map(|part| format!("nothing with {part:?}")));
    said.extend(matches.iter().map(|pattern| format!("something like /{}/", pattern.text)));
    said.extend(length.iter().map(|length| format!("{length} bytes")));
    said.join(", ")
}

/// The body as JSON; `in_part`: objects may have more members.
pub fn json(wanted: &Json, found: &[u8], in_part: bool) -> Unlike {
    let found = match serde_json::from_slice::<Json>(found) {
        Ok(found) => found,
        Err(error) => return Some((pretty(wanted), format!("no JSON ({error}): {}", quoted(found)))),
    };
    let well = if in_part { has(&found, wanted) } else { found == *wanted };
    (!well).then(|| (pretty(wanted), pretty(&found)))
}

fn has(found: &Json, wanted: &Json) -> bool {
    match (found, wanted) {
        (Json::Object(found), Json::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| has(found, wanted)))
        }
        (Json::Array(found), Json::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| has(found, wanted))
        }
        _ => found == wanted,
    }
}

fn pretty(json: &Json) -> String {
    format!("{json:#}")
}

/// More than this of a text helps nobody.
const SHOWN: usize = 500;

fn quoted(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).into_owned();
    match text.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown:?} and {more} more bytes"),
        _ => format!("{shown:?}"),
    }
}

fn spelt(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let digits: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    format!("{}{more} ({} bytes)", digits.join(" "), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_may_have_more_where_a_part_is_wanted() {
        let found = br#"{ "a": 1, "b": [{ "c": 2, "d": 3 }] }"#;
        assert_eq!(json(&json!({ "b": [{ "c": 2 }] }), found, true), None);
        for (wanted, in_part) in
            [(json!({ "b": [] }), true), (json!({ "e": 1 }), true), (json!({ "a": 1 }), false)]
        {
            assert!(json(&wanted, found, in_part).is_some(), "{wanted}");
        }
        assert!(json(&json!(1), b"{", true).is_some_and(|(_, found)| found.contains("no JSON")));
    }

    #[test]
    fn what_is_long_is_cut() {
        assert!(quoted(&[b'x'; SHOWN]).len() < SHOWN + 3);
        assert!(quoted(&[b'x'; SHOWN + 7]).ends_with("and 7 more bytes"));
    }
}
