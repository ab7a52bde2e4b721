//! What a client has already: its own conditions, evaluated on what is kept (RFC 9110, section 13; RFC 9111,
//! section 4.3.2), and the conditions of a validation.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::entry::Entry;
use super::head;

/// What a validation asks in its own way, and what an answer that is kept has to be the whole of.
const OWN: [HeaderName; 4] =
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE, header::RANGE];

/// Whether the client has this response already: a 304 is all it needs.
pub fn has_it(request: &HeaderMap, status: http::StatusCode, response: &HeaderMap) -> bool {
    if status != http::StatusCode::OK {
        return false;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        let etag = response.get(header::ETAG);
        let mut lines = request.get_all(header::IF_NONE_MATCH).iter();
        return lines.any(|line| names(line, etag));
    }
    let Some(since) = head::date(request, &header::IF_MODIFIED_SINCE) else { return false };
    // Without a date of its own it was changed when it was made at the latest (RFC 9111, section 4.3.2).
    let changed = [header::LAST_MODIFIED, header::DATE].iter().find_map(|name| head::date(response, name));
    changed.is_some_and(|changed| changed <= since)
}

/// Whether a list of tags has this one, weak or not (RFC 9110, section 8.8.3.2).
fn names(list: &HeaderValue, etag: Option<&HeaderValue>) -> bool {
    if list.as_bytes().trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag.map(|etag| opaque(etag.as_bytes())) else { return false };
    // A tag may have commas: between two quotes is what is one.
    let mut rest = list.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let tag = opaque(rest);
        let end = match tag.strip_prefix(b"\"") {
            Some(inner) => inner.iter().position(|&byte| byte == b'"').map(|at| at + 2),
            // Not a tag; some upstreams make such, though, and get them back.
            None => tag.iter().position(|&byte| byte == b',').or(Some(tag.len())),
        };
        let Some((one, after)) = end.and_then(|end| tag.split_at_checked(end)) else { return false };
        if one.is_empty() && after.is_empty() {
            return false;
        }
        if one.trim_ascii() == etag {
            return true;
        }
        rest = after;
    }
}

/// A tag without what says that it is weak.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether `If-Range` lets a range of this be sent: by a strong tag, or the very date (RFC 9110, section 13.1.5).
pub fn may_be_ranged(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(wanted) = request.get(header::IF_RANGE) else { return true };
    match head::moment(wanted) {
        Some(date) => head::date(response, &header::LAST_MODIFIED) == Some(date),
        None => !wanted.as_bytes().starts_with(b"W/") && response.get(header::ETAG) == Some(wanted),
    }
}

/// Whether the client has conditions of its own.
pub fn has_own(request: &HeaderMap) -> bool {
    OWN.iter().any(|name| request.contains_key(name))
}

/// Takes the client's own conditions out of a request, so that its answer can be kept.
pub fn take_away(request: &mut HeaderMap) {
    for name in OWN {
        request.remove(name);
    }
}

/// Asks whether this is still good (RFC 9111, section 4.3.1).
pub fn validate(request: &mut HeaderMap, entry: &Entry) {
    for (of, name) in
        [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)]
    {
        if let Some(value) = entry.headers.get(of) {
            request.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        all.collect()
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

    fn has(request: &[(&'static str, &'static str)], response: &[(&'static str, &'static str)]) -> bool {
        has_it(&headers(request), StatusCode::OK, &headers(response))
    }

    /// RFC 9110, sections 13.1.2 and 13.1.3.
    #[test]
    fn a_client_has_it_by_tag_before_date() {
        for list in ["\"a\"", "W/\"a\"", "\"x\", \"a\"", "\"x,y\",W/\"a\"", "*", ",, \"a\" ,"] {
            assert!(has(&[("if-none-match", list)], &[("etag", "W/\"a\"")]), "{list}");
        }
        for list in ["\"b\"", "a", "\"a", "\"x, a\"", "", "\"aa\""] {
            assert!(
                !has(
                    &[("if-none-match", list), ("if-modified-since", LATER)],
                    &[("etag", "\"a\""), ("last-modified", DATE)]
                ),
                "{list}"
            );
        }
        assert!(!has(&[("if-none-match", "\"a\"")], &[]));
        assert!(has(&[("if-modified-since", DATE)], &[("last-modified", DATE)]));
        assert!(has(&[("if-modified-since", LATER)], &[("date", DATE)]));
        assert!(!has(&[("if-modified-since", DATE)], &[("last-modified", LATER)]));
        assert!(!has(&[("if-modified-since", "yesterday")], &[("last-modified", DATE)]));
        assert!(!has_it(&headers(&[("if-none-match", "*")]), StatusCode::NOT_FOUND, &HeaderMap::new()));
    }

    #[test]
    fn a_range_is_of_what_the_client_has() {
        let kept = headers(&[("etag", "\"a\""), ("last-modified", DATE)]);
        let may = |value| may_be_ranged(&headers(&[("if-range", value)]), &kept);
        assert!(may("\"a\"") && may(DATE) && may_be_ranged(&HeaderMap::new(), &kept));
        assert!(!may("\"b\"") && !may("W/\"a\"") && !may(LATER));
        assert!(!may_be_ranged(&headers(&[("if-range", "W/\"a\"")]), &headers(&[("etag", "W/\"a\"")])));
    }
}
