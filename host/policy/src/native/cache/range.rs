//! A part of a response that is kept as a whole (RFC 9110, section 14).

use http::HeaderMap;
use http::header;

/// What a `Range` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it; also what can't be read, and several ranges at once: a server may answer with all.
    Whole,
    /// From here to there, the last byte included.
    Part(u64, u64),
    /// Nothing that is there.
    Unsatisfiable,
}

/// What is asked of a body of this length.
pub fn asked(request: &HeaderMap, length: u64) -> Asked {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Asked::Whole };
    line.to_str().ok().and_then(|line| read(line, length)).unwrap_or(Asked::Whole)
}

/// None for what is no single range of bytes.
fn read(line: &str, length: u64) -> Option<Asked> {
    let (unit, range) = line.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let last_there = length.checked_sub(1);
    let asked = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), last) => {
            (Some(first), last.map_or(last_there, |last| last_there.map(|there| last.min(there))))
        }
        (None, Some(0)) => (None, None),
        (None, Some(suffix)) => (Some(length.saturating_sub(suffix)), last_there),
    };
    Some(match asked {
        (Some(first), Some(last)) if first <= last => Asked::Part(first, last),
        _ => Asked::Unsatisfiable,
    })
}

/// A number; the inner none if there is nothing, the outer one if there is something else.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// RFC 9110, section 14.1.2.
    #[test]
    fn ranges() {
        let asked =
            |line| asked(&HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(line))]), 10);
        for (line, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=2-5", 2, 5),
            ("Bytes = 2-99999999999999999999", 2, 9),
            ("bytes=7-", 7, 9),
            ("bytes=-3", 7, 9),
            ("bytes=-30", 0, 9),
        ] {
            assert_eq!(asked(line), Asked::Part(first, last), "{line}");
        }
        for line in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(asked(line), Asked::Unsatisfiable, "{line}");
        }
        for line in
            ["bytes=5-2", "bytes=0-1,3-4", "bytes=-", "bytes=a-b", "items=0-1", "bytes 0-1", "bytes=+1-2"]
        {
            assert_eq!(asked(line), Asked::Whole, "{line}");
        }
        let none = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=-3"))]);
        assert_eq!(super::asked(&none, 0), Asked::Unsatisfiable);
        assert_eq!(super::asked(&HeaderMap::new(), 10), Asked::Whole);
    }
}
