//! Texts as they have to be.

use toml::de::DeValue;

use super::content::hex;
use crate::Pattern;
use crate::section::section;
use crate::value::{Value, integer, list, string};

section! {
    /// **Texts** are as they have to be if they are the same; or as a table says, like `{ contains = ["a", "b"], lacks = "c" }`, all
    /// of it:
    pub struct TextMatch(section) {
        /// `is`: the same text.
        pub is: Option<String> = section.optional("is", string),

        /// `hex`: the same bytes, as hexadecimal digits.
        pub hex: Option<Vec<u8>> = section.optional("hex", hex),

        /// `contains`: a text that is in it; or an array of texts, all of which are.
        pub contains: Vec<String> = section.or("contains", one_or_more, Vec::new()),

        /// `lacks`: a text that is not in it; or an array of texts, none of which is.
        pub lacks: Vec<String> = section.or("lacks", one_or_more, Vec::new()),

        /// `matches`: a regular expression that the whole of it matches.
        pub matches: Option<Pattern> = section.optional("matches", Pattern::read),

        /// `length`: how many bytes it has.
        pub length: Option<usize> = section.optional("length", integer(0..=usize::MAX)),
    }
}

impl TextMatch {
    /// A text that is the same, or a table.
    pub(super) fn read_any(value: &Value<'_>) -> Option<TextMatch> {
        let DeValue::Table(_) = value.inner else {
            return Some(TextMatch {
                is: Some(value.text("a text, or a table like `{ contains = \"x\" }`")?),
                ..TextMatch::anything()
            });
        };
        let text = TextMatch::read(&value.section()?)?;
        if text.says_nothing() {
            let expected = "`is`, `hex`, `contains`, `lacks`, `matches` or `length`";
            return value.fail(value.error("nothing that a text has to be").expected(expected));
        }
        Some(text)
    }

    /// A text that is in it, or a table.
    pub(super) fn within(value: &Value<'_>) -> Option<TextMatch> {
        match value.inner {
            DeValue::Table(_) => TextMatch::read_any(value),
            _ => Some(TextMatch { contains: vec![string(value)?], ..TextMatch::anything() }),
        }
    }

    fn anything() -> TextMatch {
        TextMatch {
            is: None,
            hex: None,
            contains: Vec::new(),
            lacks: Vec::new(),
            matches: None,
            length: None,
        }
    }

    fn says_nothing(&self) -> bool {
        let TextMatch { is, hex, contains, lacks, matches, length } = self;
        let nothing = is.is_none() && hex.is_none() && matches.is_none() && length.is_none();
        nothing && contains.is_empty() && lacks.is_empty()
    }
}

fn one_or_more(value: &Value<'_>) -> Option<Vec<String>> {
    match value.inner {
        DeValue::Array(_) => list(string)(value),
        _ => Some(vec![string(value)?]),
    }
}
