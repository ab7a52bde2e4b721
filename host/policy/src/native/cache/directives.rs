//! `Cache-Control`, of requests and of responses (RFC 9111, section 5.2).

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

/// The longest time there is, in seconds: what is longer counts as this (section 1.2.2).
const FOREVER: u64 = 1 << 31;

/// What is said, of all that is understood here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub no_store: bool,
    pub no_cache: Fields,
    pub private: Fields,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub only_if_cached: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub min_fresh: Option<Duration>,
    pub max_stale: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
}

/// What `no-cache` and `private` are said of.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Fields {
    #[default]
    None,
    These(Vec<HeaderName>),
    /// The whole of the response.
    All,
}

impl Directives {
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut said = Directives::default();
        for line in lines {
            // What is not ASCII is in no directive that is known here.
            let line = String::from_utf8_lossy(line.as_bytes());
            for directive in members(&line) {
                said.take(directive);
            }
        }
        said
    }

    fn take(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (directive, None),
        };
        match &*name.to_ascii_lowercase() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.take(value),
            "private" => self.private.take(value),
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => shortest(&mut self.max_age, value),
            "s-maxage" => shortest(&mut self.s_maxage, value),
            "min-fresh" => shortest(&mut self.min_fresh, value),
            "max-stale" if value.is_none() => self.max_stale = Some(Duration::from_secs(FOREVER)),
            "max-stale" => shortest(&mut self.max_stale, value),
            "stale-while-revalidate" => shortest(&mut self.stale_while_revalidate, value),
            "stale-if-error" => shortest(&mut self.stale_if_error, value),
            _ => {}
        }
    }
}

impl Fields {
    fn take(&mut self, value: Option<&str>) {
        let names = value.map(|value| unquoted(value).split(',').filter_map(|name| name.trim().parse().ok()));
        match (names, &mut *self) {
            (_, Fields::All) => {}
            (None, _) => *self = Fields::All,
            (Some(names), Fields::These(known)) => known.extend(names),
            (Some(names), Fields::None) => *self = Fields::These(names.collect()),
        }
    }

    pub fn names(&self) -> &[HeaderName] {
        match self {
            Fields::These(names) => names,
            Fields::None | Fields::All => &[],
        }
    }
}

/// What is said twice counts as the shorter, and what can't be read as no time at all (section 4.2.1).
fn shortest(known: &mut Option<Duration>, value: Option<&str>) {
    let seconds = value.and_then(|value| seconds(unquoted(value))).unwrap_or(Duration::ZERO);
    *known = Some(known.map_or(seconds, |known| known.min(seconds)));
}

/// A number of seconds (section 1.2.2).
pub fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // So many digits that it is no number of ours any more.
    Some(Duration::from_secs(text.parse().unwrap_or(FOREVER).min(FOREVER)))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// The members of a list; commas in quotes part nothing (RFC 9110, section 5.6).
fn members(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = line.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Directives {
        Directives::read(&lines.iter().map(|line| HeaderValue::from_static(line)).collect::<Vec<_>>())
    }

    #[test]
    fn directives_are_read_whatever_their_case_and_line() {
        let said =
            read(&["Max-Age=60, S-MAXAGE=\"5\"", "public, x=\"no-store, a\\\", private\", , immutable"]);
        assert_eq!((said.max_age, said.s_maxage), (seconds("60"), seconds("5")));
        assert!(said.public && said.immutable && !said.no_store && said.private == Fields::None);
        assert_eq!(read(&["max-stale"]).max_stale, Some(Duration::from_secs(FOREVER)));
        assert_eq!(read(&["max-stale=5"]).max_stale, seconds("5"));
    }

    /// Section 4.2.1: conflicts and nonsense make it stale rather than fresh.
    #[test]
    fn what_is_doubtful_is_short() {
        for line in ["max-age=-1", "max-age=1.5", "max-age=a", "max-age=", "max-age", "max-age=60, max-age=0"]
        {
            assert_eq!(read(&[line]).max_age, Some(Duration::ZERO), "{line}");
        }
        assert_eq!(read(&["max-age=99999999999999999999999"]).max_age, Some(Duration::from_secs(FOREVER)));
    }

    /// Sections 5.2.2.4 and 5.2.2.7.
    #[test]
    fn fields_or_all_of_it() {
        let names = [HeaderName::from_static("set-cookie"), HeaderName::from_static("x-user")];
        assert_eq!(read(&["no-cache=\"Set-Cookie, x-user\""]).no_cache, Fields::These(names.into()));
        assert_eq!(read(&["private=\"x-user\", private"]).private, Fields::All);
        assert_eq!(read(&["private, private=\"x-user\""]).private, Fields::All);
    }
}
