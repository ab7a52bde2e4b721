//! What a signature says of itself: `Signature-Input` and `Signature` (RFC 9421, section 4), as far as structured
//! fields (RFC 8941) are used there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A signature covers no more.
const MOST_COMPONENTS: usize = 64;

/// One member of `Signature-Input`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Input<'a> {
    pub(super) components: Vec<&'a str>,
    pub(super) created: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) nonce: Option<&'a str>,
    pub(super) alg: Option<&'a str>,
    pub(super) keyid: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    /// As it is signed.
    pub(super) text: &'a str,
}

/// The one signature that there is: its label, and what it says.
pub(super) fn only(inputs: &str) -> Result<(&str, &str), &'static str> {
    let mut all = members(inputs);
    let first = all.next().ok_or("its `Signature-Input` is empty")?;
    match all.next() {
        None => Ok(first),
        // Which of them counts would be anybody's guess.
        Some(_) => Err("it has several signatures"),
    }
}

/// The signature of that label.
pub(super) fn signature(signatures: &str, label: &str) -> Option<Vec<u8>> {
    let mut found = members(signatures).filter(|(name, _)| *name == label);
    let (_, value) = found.next().filter(|_| members(signatures).count() == 1)?;
    bytes(value)
}

/// `:...:`
pub(super) fn bytes(value: &str) -> Option<Vec<u8>> {
    STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok()
}

/// The members of a dictionary.
pub(super) fn members(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_quoted = false;
    let parts = text.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts.filter_map(|part| part.trim().split_once('='))
}

impl<'a> Input<'a> {
    /// `("@method" "@path");created=1618884473;keyid="one"`
    pub(super) fn parse(text: &'a str) -> Option<Input<'a>> {
        let (list, mut rest) = text.strip_prefix('(')?.split_once(')')?;
        let mut input = Input { text, ..Input::default() };
        for item in list.split(' ').filter(|item| !item.is_empty()) {
            // Components with parameters can't be read here, and so not be covered.
            let name = quoted(item)?;
            if input.components.contains(&name) || input.components.len() >= MOST_COMPONENTS {
                return None;
            }
            input.components.push(name);
        }
        while let Some(after) = rest.strip_prefix(';') {
            let (parameter, next) = until_semicolon(after);
            rest = next;
            let (name, value) =
                parameter.trim_start_matches(' ').split_once('=').unwrap_or((parameter, "?1"));
            let is_new = match name {
                "created" => input.created.replace(value.parse().ok()?).is_none(),
                "expires" => input.expires.replace(value.parse().ok()?).is_none(),
                "nonce" => input.nonce.replace(quoted(value)?).is_none(),
                "alg" => input.alg.replace(quoted(value)?).is_none(),
                "keyid" => input.keyid.replace(quoted(value)?).is_none(),
                "tag" => input.tag.replace(quoted(value)?).is_none(),
                _ => true,
            };
            if !is_new {
                return None;
            }
        }
        rest.is_empty().then_some(input)
    }
}

/// A parameter, and what follows it.
fn until_semicolon(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    let end = text.find(|c| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    });
    text.split_at(end.unwrap_or(text.len()))
}

/// A string without escapes.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['"', '\\'])).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_says_what_it_covers() {
        // RFC 9421, section 4.1, with what may be beside.
        let text =
            r#"("@method" "@authority" "content-digest");created=1618884473;keyid="a;b,c";nonce="x";new=1"#;
        let both = format!("sig1={text}");
        assert_eq!(only(&both), Ok(("sig1", text)));
        let input = Input::parse(text).unwrap();
        assert_eq!(input.components, ["@method", "@authority", "content-digest"]);
        assert_eq!((input.created, input.keyid, input.nonce), (Some(1618884473), Some("a;b,c"), Some("x")));
        assert_eq!(Input::parse("()").unwrap().components.len(), 0);
        for wrong in [
            "",
            "(",
            r#"("a" "a")"#,
            r#"("a";sf)"#,
            r#"("a");created"#,
            r#"("a");created=x"#,
            r#"("a");created=1;created=2"#,
            r#"("a");keyid=one"#,
            r#"("a");keyid="a\"b""#,
            r#"("a") x"#,
            r#"("a)"#,
        ] {
            assert_eq!(Input::parse(wrong), None, "{wrong}");
        }
        assert!(only("a=(), b=()").is_err());
        assert!(only("").is_err());
    }

    #[test]
    fn the_signature_of_a_label() {
        assert_eq!(signature("sig1=:AQID:", "sig1"), Some(vec![1, 2, 3]));
        for (text, label) in [
            ("sig1=:AQID:", "sig2"),
            ("sig1=AQID", "sig1"),
            ("sig1=:AQI:", "sig1"),
            ("a=:AQID:, a=:AQID:", "a"),
        ] {
            assert_eq!(signature(text, label), None, "{text}");
        }
    }
}
