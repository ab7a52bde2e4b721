//! Regular expressions: matched in linear time, bounded in size

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::value::Value;

/// As many bytes may one take when it is compiled; `a{1000}{1000}` would take more.
const COMPILED: usize = 1 << 20;
/// As many bytes may a matcher use to remember how it went on so far; beyond it is slower, not wrong.
const REMEMBERED: usize = 256 << 10;
/// As many bytes may one have as text.
const LONGEST: usize = 4096;

/// A regular expression that a whole text has to match, in the syntax of the `regex` crate, without
/// backreferences and looking around. `.`, `\d` and `\w` are about bytes and ASCII.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    /// With its anchors. A clone shares what was compiled, and nothing that a match writes to.
    pub regex: Regex,
}

impl Pattern {
    pub(crate) fn read(value: &Value<'_>) -> Option<Pattern> {
        const EXPECTED: &str = "a regular expression that matches a whole text, like \"[0-9]+\"";
        let text = value.text(EXPECTED)?;
        match Pattern::compile(&text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                value.fail(value.error(format!("not a regular expression: {why}")).expected(EXPECTED))
            }
        }
    }

    pub(crate) fn compile(text: &str) -> Result<Pattern, String> {
        if text.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} bytes"));
        }
        // By itself first: `a)|(b` would be one only between the anchors' parentheses.
        build(text)?;
        let regex = build(&format!(r"\A(?:{text})\z"))?;
        Ok(Pattern { text: text.to_owned(), regex })
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    /// What every text that matches begins with; may be empty.
    pub fn literal_prefix(&self) -> String {
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(&self.text);
        let mut prefix = Vec::new();
        if let Ok(hir) = parsed {
            begin(&hir, &mut prefix);
        }
        String::from_utf8(prefix).unwrap_or_default()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

fn build(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    let built = builder.unicode(false).size_limit(COMPILED).dfa_size_limit(REMEMBERED).build();
    built.map_err(|error| match error {
        // Its last line says what is wrong, those before show where.
        regex::Error::Syntax(shown) => {
            let last = shown.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
        regex::Error::CompiledTooBig(_) => format!("compiled, it takes more than {COMPILED} bytes"),
        other => other.to_string(),
    })
}

/// Adds the literal text that the expression begins with; answers whether that was all of it.
fn begin(hir: &Hir, prefix: &mut Vec<u8>) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(Look::Start) => true,
        HirKind::Literal(literal) => {
            prefix.extend_from_slice(&literal.0);
            true
        }
        HirKind::Capture(capture) => begin(&capture.sub, prefix),
        HirKind::Concat(parts) => parts.iter().all(|part| begin(part, prefix)),
        HirKind::Alternation(parts) => {
            let beginnings = parts.iter().map(|part| {
                let mut beginning = Vec::new();
                begin(part, &mut beginning);
                beginning
            });
            let common = beginnings
                .reduce(|a, b| a.into_iter().zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a).collect());
            prefix.extend(common.unwrap_or_default());
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_has_to_match() {
        for (pattern, text, matches) in [
            ("[0-9]+", "12", true),
            ("[0-9]+", "a12", false),
            ("[0-9]+", "12\n", false),
            ("a|b", "ab", false),
            ("(?m)^a$", "a\na", false),
            ("(?i)abc", "ABC", true),
            (r"\d", "٣", false),
            ("^a$", "a", true),
        ] {
            let matched = Pattern::compile(pattern).unwrap().matches(text.as_bytes());
            assert_eq!(matched, matches, "{pattern} {text:?}");
        }
    }

    #[test]
    fn mistakes() {
        for (bad, why) in [
            ("(", "unclosed group"),
            ("a)|(?:b", "unopened group"),
            ("(?x)a #", "unclosed group"),
            ("(a{1000}){1000}", "compiled, it takes more than 1048576 bytes"),
            (r"(.)\1", "backreferences are not supported"),
        ] {
            assert_eq!(Pattern::compile(bad).unwrap_err(), why, "{bad}");
        }
        assert!(Pattern::compile(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn what_every_match_begins_with() {
        for (pattern, prefix) in [
            ("/v1/users/[0-9]+", "/v1/users/"),
            (r"^/a\.b/(?<x>c/)d*", "/a.b/c/"),
            ("/a|/b", "/"),
            ("/(item/[0-9]|items)", "/item"),
            ("(?i)/a/", "/"),
            (r".*\.php", ""),
            ("/en(/.*)?", "/en"),
            ("/x", "/x"),
        ] {
            assert_eq!(Pattern::compile(pattern).unwrap().literal_prefix(), prefix, "{pattern}");
        }
    }
}
