//! One spelling for one path, so that no route is passed by with another.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;
use limen_config::{DotSegments, EmptySegments, EncodedSlashes, PathRules};

use crate::refusal::Fault;

/// Brings the path of a target into the spelling that the rules ask for. Most paths have it already,
/// which one look at each byte tells.
pub fn settle(uri: &mut Uri, rules: &PathRules) -> Result<(), Fault> {
    let path = uri.path();
    if !is_unusual(path.as_bytes()) {
        return Ok(());
    }
    let Some(settled) = respell(path, rules)? else { return Ok(()) };
    let target = match uri.query() {
        Some(query) => format!("{settled}?{query}"),
        None => settled,
    };
    let unreadable = "The path can't be read.";
    let target = PathAndQuery::try_from(target).map_err(|_| Fault::bad_request(unreadable))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).map_err(|_| Fault::bad_request(unreadable))?;
    Ok(())
}

/// Whether there is an escape, a byte that none should be, or a segment that is empty or starts with a dot.
fn is_unusual(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().any(|&byte| {
        let unusual = match byte {
            b'%' | b'\\' | 0x7f.. => true,
            b'.' | b'/' => before == b'/',
            _ => false,
        };
        before = byte;
        unusual
    })
}

/// The path as it should have been written; nothing if it was.
fn respell(path: &str, rules: &PathRules) -> Result<Option<String>, Fault> {
    let unescaped = settle_escapes(path, rules)?;
    let settled = settle_segments(&unescaped, rules)?;
    Ok(match (settled, unescaped) {
        (Some(settled), _) => Some(settled),
        (None, Cow::Owned(unescaped)) => Some(unescaped),
        (None, Cow::Borrowed(_)) => None,
    })
}

/// Undoes escapes of characters that need none and writes the others in upper case (RFC 3986, sections
/// 6.2.2.1 and 6.2.2.2); escapes what should have been.
fn settle_escapes<'a>(path: &'a str, rules: &PathRules) -> Result<Cow<'a, str>, Fault> {
    let mut settled = String::with_capacity(path.len());
    let mut rest = path.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let escape = (rest.next().and_then(hex), rest.next().and_then(hex));
                let (Some(high), Some(low)) = escape else {
                    return Err(Fault::bad_request("The path has a `%` that escapes nothing."));
                };
                unescape(high << 4 | low, rules, &mut settled)?;
            }
            // Some origins take it for a slash.
            b'\\' => return Err(Fault::bad_request("The path has a raw backslash.")),
            0x7f.. => escape(byte, &mut settled),
            _ => settled.push(char::from(byte)),
        }
    }
    Ok(if settled == path { Cow::Borrowed(path) } else { Cow::Owned(settled) })
}

fn unescape(byte: u8, rules: &PathRules, settled: &mut String) -> Result<(), Fault> {
    match (byte, rules.encoded_slashes) {
        (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~', _) => {
            settled.push(char::from(byte));
        }
        (0, _) => return Err(Fault::bad_request("The path has a NUL.")),
        (b'/' | b'\\', EncodedSlashes::Refuse) => {
            return Err(Fault::bad_request("The path has an encoded slash."));
        }
        (b'/', EncodedSlashes::Decode) => settled.push('/'),
        _ => escape(byte, settled),
    }
    Ok(())
}

fn escape(byte: u8, settled: &mut String) {
    let digit = |four: u8| char::from(if four < 10 { b'0' + four } else { b'A' + four - 10 });
    settled.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Resolves dot segments (RFC 3986, section 5.2.4) and merges slashes, as far as the rules say;
/// nothing if there is none of them.
fn settle_segments(path: &str, rules: &PathRules) -> Result<Option<String>, Fault> {
    let segments = path.strip_prefix('/').unwrap_or(path);
    let last = segments.split('/').count() - 1;
    let mut changed = false;
    let mut settled: Vec<&str> = Vec::new();
    for (n, segment) in segments.split('/').enumerate() {
        match (segment, rules) {
            ("." | "..", PathRules { dot_segments: DotSegments::Refuse, .. }) => {
                return Err(Fault::bad_request("The path has dot segments."));
            }
            ("." | "..", _) => {
                changed = true;
                if segment == ".." && settled.pop().is_none() {
                    return Err(Fault::bad_request("The path leads above its root."));
                }
                // `/a/.` is `/a/`.
                if n == last {
                    settled.push("");
                }
            }
            ("", PathRules { empty_segments: EmptySegments::Refuse, .. }) if n < last => {
                return Err(Fault::bad_request("The path has empty segments."));
            }
            ("", PathRules { empty_segments: EmptySegments::Merge, .. }) if n < last => changed = true,
            _ => settled.push(segment),
        }
    }
    Ok(changed.then(|| format!("/{}", settled.join("/"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: PathRules = PathRules {
        dot_segments: DotSegments::Resolve,
        encoded_slashes: EncodedSlashes::Keep,
        empty_segments: EmptySegments::Merge,
    };

    fn settled(target: &str, rules: &PathRules) -> Result<String, u16> {
        let mut uri: Uri = target.parse().unwrap();
        settle(&mut uri, rules).map(|()| uri.to_string()).map_err(|fault| fault.status.as_u16())
    }

    #[test]
    fn one_path_has_one_spelling() {
        for (written, meant) in [
            ("/", "/"),
            ("/admin/x?q=%61", "/admin/x?q=%61"),
            ("/%61dmin/%7e?q=1", "/admin/~?q=1"),
            ("/a%2fb%20c%5c", "/a%2Fb%20c%5C"),
            ("/.well-known/x..y/...", "/.well-known/x..y/..."),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b?x=/../", "/b?x=/../"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a//b///c//", "/a/b/c/"),
            ("//a", "/a"),
            ("/a//../b", "/b"),
            ("/é", "/%C3%A9"),
            ("http://h/a/../b", "http://h/b"),
        ] {
            assert_eq!(settled(written, &DEFAULT).as_deref(), Ok(meant), "{written}");
            assert_eq!(settled(meant, &DEFAULT).as_deref(), Ok(meant), "{meant} is not settled");
        }
        for odd in ["/%zz", "/%", "/a%4", "/%00", "/a\\b", "/..", "/a/../../b", "/%2e%2e/"] {
            assert_eq!(settled(odd, &DEFAULT), Err(400), "{odd}");
        }
    }

    #[test]
    fn the_operator_chooses() {
        let rules = PathRules { encoded_slashes: EncodedSlashes::Decode, ..DEFAULT };
        assert_eq!(settled("/a%2f..%2Fb%5C", &rules).as_deref(), Ok("/b%5C"));
        let rules = PathRules { encoded_slashes: EncodedSlashes::Refuse, ..DEFAULT };
        assert_eq!((settled("/a%2fb", &rules), settled("/a%5Cb", &rules)), (Err(400), Err(400)));
        let rules = PathRules { dot_segments: DotSegments::Refuse, ..DEFAULT };
        assert_eq!((settled("/a/./b", &rules), settled("/a/%2E%2e", &rules)), (Err(400), Err(400)));
        let rules = PathRules { empty_segments: EmptySegments::Keep, ..DEFAULT };
        assert_eq!(settled("/a//b//", &rules).as_deref(), Ok("/a//b//"));
        assert_eq!(settled("/a//../b", &rules).as_deref(), Ok("/a/b"));
        let rules = PathRules { empty_segments: EmptySegments::Refuse, ..DEFAULT };
        assert_eq!((settled("//a", &rules), settled("/a/", &rules).as_deref()), (Err(400), Ok("/a/")));
    }
}
