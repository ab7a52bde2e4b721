//! `path = "/v1/users/{id}"`

use std::fmt;

use crate::value::Value;

/// Which paths a route answers for: "/v1/users/{id}", "/v1/**". The default is "/**".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// As it was written.
    pub text: String,
    /// What stands between the slashes: "/a/" is `a` and an empty literal, "/" has one empty
    /// literal, and "/**" has none.
    pub segments: Vec<Segment>,
    /// It ends in "/**": the path before it, the same with a slash, and all below.
    pub rest: bool,
}

/// One piece of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    Literal(String),
    /// `{name}`: any one segment that is not empty, whose text policies can ask for.
    Parameter(String),
}

impl PathPattern {
    /// "/**"
    pub(crate) fn everything() -> PathPattern {
        PathPattern { text: "/**".to_owned(), segments: Vec::new(), rest: true }
    }

    pub(crate) fn read(value: &Value<'_>) -> Option<PathPattern> {
        const EXPECTED: &str = "a path like \"/v1/users/{id}\" or \"/v1/**\"";
        let text = value.text(EXPECTED)?;
        match parse(&text) {
            Ok(pattern) => Some(pattern),
            Err(Wrong { message, hint }) => {
                value.fail(value.error(format!("{message}: `{text}`")).expected(EXPECTED).maybe_hint(hint))
            }
        }
    }

    pub(super) fn parse(text: &str) -> Result<PathPattern, String> {
        parse(text).map_err(|Wrong { message, hint }| match hint {
            Some(hint) => format!("{message}; {hint}"),
            None => message,
        })
    }

    /// Whether it matches this path; the table of routes finds them all at once instead.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut pieces = path.strip_prefix('/').unwrap_or(path).split('/');
        let all = self.segments.iter().all(|segment| match (segment, pieces.next()) {
            (Segment::Literal(text), Some(piece)) => text == piece,
            (Segment::Parameter(_), Some(piece)) => !piece.is_empty(),
            (_, None) => false,
        });
        all && (self.rest || pieces.next().is_none())
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The same for two that match exactly the same paths, whatever their parameters are called.
    pub(crate) fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) => "{}",
            });
        }
        shape + if self.rest { "/**" } else { "" }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Debug)]
struct Wrong {
    message: String,
    hint: Option<String>,
}

fn wrong<T>(message: impl Into<String>, hint: &str) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()) })
}

fn parse(text: &str) -> Result<PathPattern, Wrong> {
    let Some(path) = text.strip_prefix('/') else {
        return wrong("a path must start with `/`", &format!("did you mean \"/{text}\"?"));
    };
    let (path, rest) = match path.strip_suffix("**") {
        Some("") => (None, true),
        Some(path) if path.ends_with('/') => (path.strip_suffix('/'), true),
        _ => (Some(path), false),
    };
    let pieces: Vec<&str> = path.map(|path| path.split('/').collect()).unwrap_or_default();
    let last = pieces.len().saturating_sub(1);
    let mut segments: Vec<Segment> = Vec::with_capacity(pieces.len());
    for (n, piece) in pieces.into_iter().enumerate() {
        if piece.is_empty() && (n < last || rest) {
            return wrong("an empty segment in a path", "write one `/` where there are two");
        }
        let segment = segment(piece)?;
        if matches!(segment, Segment::Parameter(_)) && segments.contains(&segment) {
            return wrong(format!("the parameter `{piece}` twice in a path"), "give each a name of its own");
        }
        segments.push(segment);
    }
    Ok(PathPattern { text: text.to_owned(), segments, rest })
}

fn segment(piece: &str) -> Result<Segment, Wrong> {
    if let Some(name) = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return match name.bytes().next() {
            Some(first) if letters && !first.is_ascii_digit() => Ok(Segment::Parameter(name.to_owned())),
            _ => wrong("not a name for a parameter", "letters, digits and `_`, not starting with a digit"),
        };
    }
    let mut odd = piece.chars().filter(|c| matches!(c, '{' | '}' | '*' | '?' | '#') || !c.is_ascii_graphic());
    match odd.next() {
        Some('{' | '}') => wrong("a parameter must be a whole segment", "as in \"/users/{id}/posts\""),
        Some('*') => wrong(
            "`*` can't stand here",
            "`/**` at the end matches all below; one segment is a parameter, as in \"/users/{id}\"",
        ),
        Some('?') => wrong("a query in a path", "a route matches the path alone"),
        Some('#') => wrong("a fragment in a path", "browsers don't send what follows `#`"),
        Some(_) => {
            wrong("a path with a character that requests can't have", "write it percent-encoded, like `%20`")
        }
        None if piece == "." || piece == ".." => {
            wrong(format!("`{piece}` in a path"), "write the path that is meant")
        }
        None => settle_escapes(piece).map(Segment::Literal),
    }
}

fn hex_byte(hex: &str) -> Option<u8> {
    // `from_str_radix` takes a sign as well.
    let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(hex, 16).ok().filter(|_| digits)
}

/// Escapes as the paths of requests have them: undone where a character needs none, others in upper
/// case (RFC 3986, sections 6.2.2.1 and 6.2.2.2).
fn settle_escapes(piece: &str) -> Result<String, Wrong> {
    let mut pieces = piece.split('%');
    let mut settled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let escaped = piece.get(..2).and_then(hex_byte);
        let (Some(byte), Some(rest)) = (escaped, piece.get(2..)) else {
            return wrong("a `%` that escapes nothing in a path", "a percent sign itself is `%25`");
        };
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                settled.push(char::from(byte));
            }
            _ => settled.push_str(&format!("%{byte:02X}")),
        }
        settled.push_str(rest);
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    #[test]
    fn patterns() {
        let id = || Segment::Parameter("id".to_owned());
        for (text, segments, rest) in [
            ("/", vec![literal("")], false),
            ("/a", vec![literal("a")], false),
            ("/a/", vec![literal("a"), literal("")], false),
            ("/a/{id}/b", vec![literal("a"), id(), literal("b")], false),
            ("/**", vec![], true),
            ("/a/**", vec![literal("a")], true),
            ("/{id}/**", vec![id()], true),
            ("/%61%2f%7Ex", vec![literal("a%2F~x")], false),
            ("/a.b/~c/%20", vec![literal("a.b"), literal("~c"), literal("%20")], false),
        ] {
            let pattern = parse(text).unwrap();
            assert_eq!((pattern.segments, pattern.rest), (segments, rest), "{text}");
        }
    }

    #[test]
    fn one_matches_as_it_does_in_the_table() {
        for (text, path, is_matched) in [
            ("/a/{id}", "/a/1", true),
            ("/a/{id}", "/a/", false),
            ("/a/{id}", "/a/1/", false),
            ("/a/{id}", "/a", false),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
        ] {
            assert_eq!(parse(text).unwrap().matches(path), is_matched, "{text} {path}");
        }
    }

    #[test]
    fn mistakes() {
        for bad in [
            "",
            "a",
            "//",
            "/a//b",
            "//**",
            "/a//**",
            "/a**",
            "/**/a",
            "/*",
            "/a*",
            "/{id",
            "/x{id}",
            "/{}",
            "/{1}",
            "/{a-b}",
            "/{id}/{id}",
            "/a?b",
            "/a#b",
            "/a b",
            "/a%",
            "/%zz",
            "/%+1",
            "/ä",
            "/../a",
            "/\u{0}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_names_of_parameters_make_no_difference() {
        let same = |a, b| parse(a).unwrap().shape() == parse(b).unwrap().shape();
        assert!(same("/a/{x}", "/a/{y}"));
        assert!(!same("/a/{x}", "/a/x"));
        assert!(!same("/a", "/a/"));
        assert!(!same("/a", "/a/**"));
    }
}
