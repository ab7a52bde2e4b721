//! Heads of messages, and the rules for changing them.

use crate::EditError;

/// One value may be so long.
const VALUE: usize = 64 * 1024;

/// What a policy cannot change, from `wit/types.wit`.
const OWNED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What may not stand in trailers, beside those (RFC 9110, section 6.5.1).
pub(crate) const HEAD_ONLY: [&str; 26] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "via",
    "www-authenticate",
];

/// Name in lower case, and value.
pub(crate) type Field = (String, Vec<u8>);

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) head: Head,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) head: Head,
}

impl RequestHead {
    /// Without a method and a path, until a test gives them.
    pub(crate) const fn new() -> Self {
        RequestHead {
            method: String::new(),
            authority: String::new(),
            path: String::new(),
            query: None,
            head: Head { fields: Vec::new() },
        }
    }
}

impl ResponseHead {
    /// 200 without headers.
    pub(crate) const fn new() -> Self {
        ResponseHead { status: 200, head: Head { fields: Vec::new() } }
    }
}

impl Head {
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.values(name).next().and_then(|value| String::from_utf8(value.to_vec()).ok())
    }

    /// As a gateway reads it from the wire: nothing is checked.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        self.fields.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    pub(crate) fn drop_all(&mut self, name: &str) {
        self.fields.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        allowed(name, value)?;
        self.drop_all(name);
        self.push(name, value.as_bytes());
        Ok(())
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        allowed(name, value)?;
        self.push(name, value.as_bytes());
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), EditError> {
        allowed(name, "")?;
        self.drop_all(name);
        Ok(())
    }

    /// The gateway's own header about a body, after it was replaced.
    pub(crate) fn frame(&mut self, length: usize) {
        self.drop_all("transfer-encoding");
        self.drop_all("content-length");
        self.push("content-length", length.to_string().as_bytes());
    }

    /// The layout of `request.packed`, with these fields first.
    pub(crate) fn packed(&self, first: &[(&str, String)]) -> Vec<u8> {
        let first = first.iter().map(|(name, value)| (*name, value.as_bytes()));
        let fields: Vec<_> =
            first.chain(self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))).collect();
        let mut block = (fields.len() as u32).to_le_bytes().to_vec();
        for (name, value) in &fields {
            block.extend((name.len() as u32).to_le_bytes());
            block.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in fields {
            block.extend(name.as_bytes());
            block.extend(value);
        }
        block
    }
}

/// Whether a policy may write this field at all.
pub(crate) fn allowed(name: &str, value: &str) -> Result<(), EditError> {
    if !is_token(name) || !is_value(value) {
        return Err(EditError::Invalid);
    }
    if OWNED.iter().any(|owned| owned.eq_ignore_ascii_case(name)) {
        return Err(EditError::Forbidden);
    }
    if value.len() > VALUE {
        return Err(EditError::TooLarge);
    }
    Ok(())
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110, section 5.5.
fn is_value(value: &str) -> bool {
    let trimmed = value.trim_matches([' ', '\t']) == value;
    trimmed && value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
