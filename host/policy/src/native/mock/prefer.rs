//! What a client wants to see: `Prefer` and `Accept`.

use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};

/// `Prefer` (RFC 7240), as far as it means something here.
#[derive(Default)]
pub(super) struct Preferences {
    pub(super) code: Option<StatusCode>,
    pub(super) example: Option<String>,
}

impl Preferences {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut wanted = Preferences::default();
        let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
        for (name, value) in lines.flat_map(|line| line.split([',', ';'])).filter_map(|it| it.split_once('='))
        {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "code" => wanted.code = wanted.code.or_else(|| value.parse().ok()),
                "example" if wanted.example.is_none() => wanted.example = Some(value.to_owned()),
                _ => {}
            }
        }
        wanted
    }

    /// For the header `preference-applied`.
    pub(super) fn applied(&self) -> Option<HeaderValue> {
        let code = self.code.map(|code| format!("code={}", code.as_str()));
        let example = self.example.as_ref().map(|name| format!("example=\"{name}\""));
        let all: Vec<_> = code.into_iter().chain(example).collect();
        (!all.is_empty()).then(|| HeaderValue::try_from(all.join(", ")).ok())?
    }
}

/// The one that `Accept` likes best (RFC 9110, section 12.5.1); of several the first.
pub(super) fn choose<'a, T>(accept: &str, all: &'a [T], media: impl Fn(&T) -> &str) -> Option<&'a T> {
    let ranges: Vec<_> = accept.split(',').filter_map(range).collect();
    if ranges.is_empty() {
        return all.first();
    }
    let quality = |one: &&T| {
        let fitting = ranges.iter().filter(|(range, _)| is_in(range, media(one)));
        // The most exact range counts.
        fitting
            .max_by_key(|(range, _)| (!range.contains('*'), *range != "*/*"))
            .map_or(0, |(_, quality)| *quality)
    };
    let best = all.iter().map(|one| quality(&one)).max().filter(|best| *best > 0)?;
    all.iter().find(|one| quality(one) == best)
}

/// A media range and its quality in thousandths.
fn range(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
    Some((range, (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32))
}

fn is_in(range: &str, media: &str) -> bool {
    match range.strip_suffix('*') {
        _ if range == "*/*" => true,
        Some(begin) => media.starts_with(begin),
        None => range.eq_ignore_ascii_case(media),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_heard() {
        let all = ["application/json", "text/plain", "text/html"];
        let chosen = |accept: &str| choose(accept, &all, |it| it).copied();
        assert_eq!(chosen(""), Some("application/json"));
        assert_eq!(chosen("*/*"), Some("application/json"));
        assert_eq!(chosen("text/*"), Some("text/plain"));
        assert_eq!(chosen("text/html;q=0.9, application/json;q=0.5"), Some("text/html"));
        assert_eq!(chosen("text/*;q=0.5, text/plain;q=0"), Some("text/html"));
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen("application/json;q=0"), None);
    }
}
