//! JSON as the text that it is: opened only where somebody looks, and otherwise left as it was written, so
//! that a number keeps all its digits and a text its escapes.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A value.
#[derive(Clone, Debug)]
pub(in crate::native) enum Node<'a> {
    /// As it is written.
    Text(Cow<'a, str>),
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
}

/// A member of an object. There may be several of one name.
#[derive(Clone, Debug)]
pub(in crate::native) struct Member<'a> {
    pub name: Cow<'a, str>,
    /// The name as it is written, with its quotes.
    written: Cow<'a, str>,
    pub value: Node<'a>,
}

impl<'a> Node<'a> {
    /// Reads all of a text, of which no value lies deeper than this; or says what is wrong with it.
    pub(in crate::native) fn read(bytes: &'a [u8], depth: usize) -> Result<Node<'a>, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
        // From here on it is known to be JSON, and its parts are found by quotes and brackets alone.
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("not JSON: {error}"))?;
        let deepest = deepest(text);
        if deepest > depth {
            return Err(format!("JSON {deepest} levels deep, more than {depth}"));
        }
        Ok(Node::Text(Cow::Borrowed(text.trim_ascii())))
    }

    pub(in crate::native) fn null() -> Node<'a> {
        Node::Text(Cow::Borrowed("null"))
    }

    /// A text of these characters.
    pub(in crate::native) fn string(text: &str) -> Node<'a> {
        Node::Text(Cow::Owned(quoted(text)))
    }

    /// Finds the parts of an object or an array; others stay what they are.
    pub(in crate::native) fn open(&mut self) -> &mut Self {
        if let Node::Text(Cow::Borrowed(text)) = self {
            match text.as_bytes().first() {
                Some(b'{') => *self = Node::Object(Parts(text, 1).members()),
                Some(b'[') => *self = Node::Array(Parts(text, 1).items()),
                _ => {}
            }
        }
        self
    }

    /// The characters of a string; none for anything else.
    pub(in crate::native) fn characters(&self) -> Option<Cow<'_, str>> {
        match self {
            Node::Text(text) if text.starts_with('"') => Some(unquoted(text)),
            _ => None,
        }
    }

    pub(in crate::native) fn write(&self, out: &mut String) {
        match self {
            Node::Text(text) => out.push_str(text),
            Node::Object(members) => {
                out.push('{');
                for (at, member) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(&member.written);
                    out.push(':');
                    member.value.write(out);
                }
                out.push('}');
            }
            Node::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
        }
    }
}

impl<'a> Member<'a> {
    pub(in crate::native) fn new(name: &str, value: Node<'a>) -> Self {
        Member { name: Cow::Owned(name.to_owned()), written: Cow::Owned(quoted(name)), value }
    }
}

/// The parts of an object or an array, and how far it was read.
struct Parts<'a>(&'a str, usize);

impl<'a> Parts<'a> {
    fn members(mut self) -> Vec<Member<'a>> {
        let mut members = Vec::new();
        while let Some(written) = self.next() {
            let Some(value) = self.next() else { break };
            let (name, written) = (unquoted(written), Cow::Borrowed(written));
            members.push(Member { name, written, value: Node::Text(Cow::Borrowed(value)) });
        }
        members
    }

    fn items(mut self) -> Vec<Node<'a>> {
        std::iter::from_fn(|| self.next()).map(|item| Node::Text(Cow::Borrowed(item))).collect()
    }

    /// The next name, value or item.
    fn next(&mut self) -> Option<&'a str> {
        let Parts(text, at) = *self;
        let rest = text.as_bytes().get(at..)?;
        let begin =
            at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':'))?;
        let end = end_of_value(text.as_bytes(), begin);
        self.1 = end;
        // At the closing bracket there is nothing more.
        text.get(begin..end).filter(|part| !part.is_empty())
    }
}

/// Where the value ends that begins here.
fn end_of_value(text: &[u8], begin: usize) -> usize {
    let mut open = 0usize;
    let mut at = begin;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'{' | b'[' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' if open == 0 => return at,
            b'}' | b']' => {
                open -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if open == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if open == 0 {
            return at;
        }
    }
    at
}

/// Where the string ends that begins here, its quote included.
fn end_of_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// How many objects and arrays lie in one another.
fn deepest(text: &str) -> usize {
    let (text, mut at) = (text.as_bytes(), 0);
    let (mut open, mut deepest) = (0usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(text, at);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
        at += 1;
    }
    deepest
}

/// The characters of a string as it is written. Half a surrogate stands for no character: then it is what
/// is written.
fn unquoted(written: &str) -> Cow<'_, str> {
    let inner = written.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(written);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(written).map_or(Cow::Borrowed(inner), Cow::Owned)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(text: &str) -> Result<Node<'_>, String> {
        Node::read(text.as_bytes(), 8)
    }

    fn open_all(node: &mut Node<'_>) {
        match node.open() {
            Node::Text(_) => {}
            Node::Object(members) => members.iter_mut().for_each(|member| open_all(&mut member.value)),
            Node::Array(items) => items.iter_mut().for_each(open_all),
        }
    }

    fn any(chance: &mut fastrand::Rng, depth: usize) -> Value {
        let text = |chance: &mut fastrand::Rng| {
            let letters = ['a', '"', '\\', '{', ']', ',', ':', ' ', '\n', 'ä', '\u{1F600}', '\u{0}'];
            (0..chance.usize(0..6)).map(|_| letters[chance.usize(0..letters.len())]).collect::<String>()
        };
        match chance.u8(0..if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::from(chance.i64(..)),
            2 => Value::from(text(chance)),
            3 => Value::from(chance.bool()),
            4 => (0..chance.usize(0..4)).map(|_| any(chance, depth - 1)).collect(),
            _ => (0..chance.usize(0..4)).map(|_| (text(chance), any(chance, depth - 1))).collect(),
        }
    }

    #[test]
    fn what_is_opened_and_written_is_the_same_value() {
        let mut chance = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let value = any(&mut chance, 5);
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let mut node = read(&text).unwrap();
                open_all(&mut node);
                let mut out = String::new();
                node.write(&mut out);
                assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value, "{text}");
            }
        }
    }

    #[test]
    fn what_nobody_can_hold_stays_as_it_is() {
        let text =
            r#"{"a":123456789012345678901234567890,"b":1.10,"c":-0,"d":1E+400,"e":"\ud800\u0041","b":0.1}"#;
        let (mut node, mut out) = (read(text).unwrap(), String::new());
        open_all(&mut node);
        node.write(&mut out);
        assert_eq!(out, text);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "nul",
            "01",
            "1 2",
            "\"\n\"",
            "[1}",
            "\u{feff}1",
            "'a'",
            "NaN",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(Node::read(b"\"\xff\"", 8).is_err());
        assert!(read(&format!("{}{}", "[".repeat(8), "]".repeat(8))).is_ok());
        assert!(read(&format!("{}{}", "[".repeat(9), "]".repeat(9))).unwrap_err().contains("9 levels"));
        let deep = format!("{}{}", "{\"a\":".repeat(1_000_000), "1");
        assert!(read(&deep).is_err(), "a million levels cost no stack");
        assert!(read(&"[".repeat(1_000_000)).is_err());
        assert!(read(&format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))).is_err());
    }
}
