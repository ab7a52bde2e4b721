//! Which requests a response is for: those whose headers that `Vary` names are like those of the request that it
//! was the answer to (RFC 9111, section 4.1).

use http::HeaderMap;
use http::Response;
use http::header::{self, HeaderName};
use xxhash_rust::xxh3::Xxh3;

use super::head;

/// What a request has to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What tells it apart before `Vary` does.
    pub parts: Box<str>,
    /// The headers that the response varies by, as the request had them.
    pub headers: Vec<(HeaderName, Option<Box<[u8]>>)>,
}

impl Selection {
    pub fn new(parts: &str, request: &HeaderMap, response: &Response<()>) -> Self {
        let names = head::names(response.headers(), &header::VARY);
        let names = names.filter_map(|name| name.parse::<HeaderName>().ok());
        let headers = names.map(|name| {
            let value = selecting(request, &name).map(Into::into);
            (name, value)
        });
        Selection { parts: parts.into(), headers: headers.collect() }
    }

    pub fn fits(&self, parts: &str, request: &HeaderMap) -> bool {
        *self.parts == *parts
            && self.headers.iter().all(|(name, value)| match (request.get(name), value) {
                (None, None) => true,
                (None, Some(_)) | (Some(_), None) => false,
                // Most are as they are compared.
                (Some(line), Some(value)) if *line.as_bytes() == **value => {
                    request.get_all(name).iter().nth(1).is_none()
                }
                (Some(_), value) => selecting(request, name).as_deref() == value.as_deref(),
            })
    }

    /// What a request has of these headers: requests with the same may have the same answer.
    pub fn of(&self, request: &HeaderMap) -> Vec<Option<Vec<u8>>> {
        self.headers.iter().map(|(name, _)| selecting(request, name)).collect()
    }

    /// A number for it, the same in every process.
    pub fn number(&self) -> u64 {
        let mut all = Xxh3::new();
        // With their lengths, so that none can pretend to be two.
        let mut add = |text: &[u8]| {
            all.update(&text.len().to_le_bytes());
            all.update(text);
        };
        add(self.parts.as_bytes());
        for (name, value) in &self.headers {
            add(name.as_str().as_bytes());
            add(if value.is_some() { b"1" } else { b"" });
            add(value.as_deref().unwrap_or_default());
        }
        all.digest()
    }

    pub fn weight(&self) -> usize {
        let headers = self.headers.iter();
        let headers =
            headers.map(|(name, value)| name.as_str().len() + value.as_ref().map_or(0, |it| it.len()) + 48);
        self.parts.len() + headers.sum::<usize>()
    }
}

/// The values of a header in the one spelling that they are compared in: several lines are a list, whitespace
/// around commas says nothing, neither does the case of codings and languages, nor the order of codings.
fn selecting(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines = request.get_all(name);
    let first = lines.iter().next()?;
    let has_case = !matches!(*name, header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE);
    if has_case && lines.iter().nth(1).is_none() && !first.as_bytes().contains(&b',') {
        return Some(first.as_bytes().to_vec());
    }
    let members = lines.iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let mut members: Vec<_> = members.map(|member| member.trim_ascii().to_vec()).collect();
    if !has_case {
        members.iter_mut().for_each(|member| member.make_ascii_lowercase());
    }
    if *name == header::ACCEPT_ENCODING {
        members.sort();
    }
    Some(members.join(&b","[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        all.collect()
    }

    #[test]
    fn the_headers_named_have_to_be_alike() {
        let mut response = Response::new(());
        *response.headers_mut() = headers(&[("vary", "Accept-Encoding, x-a"), ("vary", "x-b")]);
        let first = headers(&[("accept-encoding", "gzip, BR"), ("x-a", "1, 2")]);
        let selection = Selection::new("p", &first, &response);
        for alike in [
            first.clone(),
            headers(&[("accept-encoding", "br,gzip"), ("x-a", "1,  2"), ("x-c", "3")]),
            headers(&[("accept-encoding", "br"), ("accept-encoding", "gzip"), ("x-a", "1"), ("x-a", "2")]),
        ] {
            assert!(selection.fits("p", &alike), "{alike:?}");
        }
        assert!(!selection.fits("q", &first));
        assert_eq!(selection.number(), selection.clone().number());
        let other = Selection { parts: "pa".into(), headers: Vec::new() };
        assert_ne!(other.number(), Selection::default().number());
        for other in [
            headers(&[("accept-encoding", "gzip"), ("x-a", "1, 2")]),
            headers(&[("accept-encoding", "gzip, br"), ("x-a", "2, 1")]),
            headers(&[("accept-encoding", "gzip, br"), ("x-a", "1, 2"), ("x-b", "")]),
            headers(&[("x-a", "1, 2")]),
        ] {
            assert!(!selection.fits("p", &other), "{other:?}");
        }
    }
}
