//! What the log is not to know.

use std::borrow::Cow;

use http::HeaderName;
use limen_policy::SecretPlace;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// What ends a parameter. A fragment may follow a query, with parameters of its own.
const SEPARATORS: [char; 4] = ['&', ';', '#', '?'];

/// The names whose values are secrets.
#[derive(PartialEq, Eq)]
pub struct Redaction {
    headers: Vec<HeaderName>,
    /// In lower case.
    parameters: Vec<String>,
}

impl Redaction {
    /// Those of the configuration, and where policies look for secrets.
    pub fn new(headers: &[HeaderName], parameters: &[String], secrets: &[SecretPlace]) -> Self {
        let (mut headers, mut parameters) = (headers.to_vec(), parameters.to_vec());
        for place in secrets {
            match place {
                SecretPlace::Header(name) => headers.push(name.clone()),
                SecretPlace::Query(name) => parameters.push(name.clone()),
            }
        }
        parameters.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Redaction { headers, parameters }
    }

    /// Whether the values of this header are secrets.
    pub fn hides(&self, header: &HeaderName) -> bool {
        self.headers.contains(header)
    }

    /// A query without the secrets in it.
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if !query.split(SEPARATORS).any(|pair| self.is_secret(pair)) {
            return Cow::Borrowed(query);
        }
        let mut clean = String::with_capacity(query.len());
        for piece in query.split_inclusive(SEPARATORS) {
            let (pair, end) = match piece.strip_suffix(SEPARATORS) {
                Some(pair) => (pair, piece.get(pair.len()..).unwrap_or_default()),
                None => (piece, ""),
            };
            match pair.split_once('=').filter(|_| self.is_secret(pair)) {
                Some((name, _)) => clean.extend([name, "=", REDACTED]),
                None => clean.push_str(pair),
            }
            clean.push_str(end);
        }
        Cow::Owned(clean)
    }

    /// A header's value, which may be a URL, without the secrets in it: query, fragment, user and password.
    pub fn url<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (before, query) = match text.split_once(['?', '#']) {
            Some((before, query)) => (before, Some(query)),
            None => (text, None),
        };
        let user = before.split_once("://").and_then(|(scheme, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            let (_, host) = authority.rsplit_once('@')?;
            Some((scheme, host, rest.get(authority.len()..).unwrap_or_default()))
        });
        let clean = query.map(|query| self.query(query));
        if user.is_none() && !matches!(clean, Some(Cow::Owned(_))) {
            return Cow::Borrowed(text);
        }
        let mut url = match user {
            Some((scheme, host, path)) => format!("{scheme}://{REDACTED}@{host}{path}"),
            None => before.to_owned(),
        };
        if let Some(query) = clean {
            url.push_str(text.get(before.len()..before.len() + 1).unwrap_or_default());
            url.push_str(&query);
        }
        Cow::Owned(url)
    }

    fn is_secret(&self, pair: &str) -> bool {
        let name = pair.split('=').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        // `token[]` is a token as well, and so is ` token`.
        let name = decoded.split('[').next().unwrap_or_default().trim();
        let name = name.trim_matches('+');
        self.parameters.iter().any(|secret| secret.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        Redaction { headers: vec![], parameters: vec!["token".into(), "x-sig".into()] }
    }

    #[test]
    fn secrets_of_a_query_are_hidden() {
        for (query, clean) in [
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&token=s3cret&b=2", "a=1&token=[redacted]&b=2"),
            ("TOKEN=s3cret", "TOKEN=[redacted]"),
            (
                "%74oken=s3cret&token[]=s3cret;X-Sig=s3cret",
                "%74oken=[redacted]&token[]=[redacted];X-Sig=[redacted]",
            ),
            ("token=a=b", "token=[redacted]"),
            ("token", "token"),
            ("+token=s3cret&&=&", "+token=[redacted]&&=&"),
        ] {
            assert_eq!(redaction().query(query), clean);
        }
    }

    #[test]
    fn secrets_of_a_url_are_hidden() {
        for (url, clean) in [
            ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
            ("https://a/b?q=1", "https://a/b?q=1"),
            ("https://a/b?token=s3cret#x", "https://a/b?token=[redacted]#x"),
            ("https://ann:s3cret@a/b@c?q=1", "https://[redacted]@a/b@c?q=1"),
            ("https://a/cb#token=s3cret&q=1", "https://a/cb#token=[redacted]&q=1"),
            ("https://a/cb?q=1#token=s3cret", "https://a/cb?q=1#token=[redacted]"),
            ("/cb?token=s3cret", "/cb?token=[redacted]"),
        ] {
            assert_eq!(redaction().url(url), clean);
        }
    }
}
