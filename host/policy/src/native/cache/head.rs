//! What heads say that a cache has to know, read one by one.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::directives::seconds;

/// The one moment that a head says there; none if it says none, several, or none that can be read.
pub fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    moment(line)
}

/// A date (RFC 9110, section 5.6.7).
pub fn moment(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// A date as it is written.
pub fn written(at: SystemTime) -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static(""))
}

/// How old a response says it is (RFC 9111, section 5.1): the first that it says, and nothing if that can't be
/// read.
pub fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(header::AGE).and_then(|line| line.to_str().ok());
    let first = first.and_then(|line| line.split(',').next());
    first.and_then(|text| seconds(text.trim())).unwrap_or(Duration::ZERO)
}

/// The members of a list of names, over all its lines.
pub fn names<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("*"));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

/// A copy that takes as much memory as it needs: values that were read from a connection hold on to all that
/// was read with them.
pub fn compact(headers: &HeaderMap) -> HeaderMap {
    let all: Vec<u8> = headers.values().flat_map(|value| value.as_bytes()).copied().collect();
    let mut rest = bytes::Bytes::from(all);
    let mut copy = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let bytes = rest.split_to(value.len());
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone());
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes) {
            copy.append(name, value);
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        all.collect()
    }

    #[test]
    fn ages_and_dates() {
        for (line, seconds) in
            [("7", 7), ("7, 9", 7), ("-7", 0), ("7.5", 0), ("", 0), ("99999999999", 1 << 31)]
        {
            assert_eq!(age(&headers(&[("age", line)])), Duration::from_secs(seconds), "{line}");
        }
        let at = |line| date(&headers(&[("expires", line)]), &header::EXPIRES);
        assert!(at("0").is_none() && at("-1").is_none() && at("Thu, 01 Jan 1970 00:00:00").is_none());
        for line in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(at(line), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)), "{line}");
        }
    }

    #[test]
    fn a_compact_copy_says_the_same() {
        let all = headers(&[("a", "1"), ("b", ""), ("a", "2"), ("content-type", "text/plain")]);
        assert_eq!(compact(&all), all);
    }
}
