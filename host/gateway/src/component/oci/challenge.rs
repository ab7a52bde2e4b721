//! What a registry wants to see of whoever asks: `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http::{HeaderMap, header};

/// One that can be met.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token, from the server that is named.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The best of those in a 401.
    pub fn of(headers: &HeaderMap) -> Option<Challenge> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let known: Vec<_> = values.filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
        let is_bearer = |it: &&Scheme<'_>| it.name.eq_ignore_ascii_case("bearer");
        if let Some(bearer) = known.iter().find(is_bearer) {
            let realm = bearer.parameter("realm")?;
            return Some(Challenge::Bearer { realm, service: bearer.parameter("service") });
        }
        known.iter().any(|it| it.name.eq_ignore_ascii_case("basic")).then_some(Challenge::Basic)
    }
}

/// One challenge as it is written.
struct Scheme<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Scheme<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
}

/// All challenges of a value; what can't be read ends it.
fn parse(value: &str) -> Vec<Scheme<'_>> {
    let mut schemes: Vec<Scheme<'_>> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { return schemes };
        match (after.strip_prefix('='), schemes.last_mut()) {
            (Some(value), Some(scheme)) => {
                let Some((value, after)) = quoted(value).or_else(|| plain(value)) else { return schemes };
                scheme.parameters.push((word, value));
                rest = after;
            }
            (Some(_), None) => return schemes,
            (None, _) => {
                schemes.push(Scheme { name: word, parameters: Vec::new() });
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

fn plain(text: &str) -> Option<(String, &str)> {
    token(text).map(|(value, rest)| (value.to_owned(), rest))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (mut value, mut characters) = (String::new(), inner.char_indices());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, inner.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn challenge(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn as_registries_write_it() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(challenge(&[docker]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(challenge(&[r#"Basic realm="basic-realm""#]), Some(Challenge::Basic));
        assert_eq!(challenge(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(challenge(&["bearer Realm=\"https:\\//x\""]), bearer("https://x", None));
    }

    #[test]
    fn several_are_told_apart() {
        let both = r#"Basic realm="a, b=\"c\"", Bearer realm="https://x/t""#;
        assert_eq!(challenge(&[both]), bearer("https://x/t", None));
        assert_eq!(challenge(&["Negotiate", "Basic realm=x"]), Some(Challenge::Basic));
        assert_eq!(challenge(&["Negotiate abc=="]), None);
        assert_eq!(challenge(&[]), None);
    }

    #[test]
    fn whatever_is_written_ends() {
        let text = r#"Basic realm="a, b=\"c\"", Bearer realm="https://x/t", service=y"#;
        for at in 0..text.len() {
            for odd in ["", "\"", "=", ",", "\\", " "] {
                challenge(&[&format!("{}{odd}{}", &text[..at], &text[at + 1..])]);
                challenge(&[&format!("{}{odd}", &text[..at])]);
            }
        }
        assert_eq!(challenge(&[&"=".repeat(10_000)]), None);
        assert_eq!(challenge(&[&format!("Bearer realm=\"{}", "\\\"".repeat(10_000))]), None);
    }
}
