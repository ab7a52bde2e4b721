//! The name of an exchange: made here, or taken over from those who may give one.

use http::header::HeaderValue;
use http::{Request, Response};
use limen_config::{IdTrust, RequestIds};
use limen_policy::RequestId;

/// An id of somebody else has no more bytes than this.
const LONGEST: usize = 128;

/// Takes over the id that a request brings, if its peer may say it, and tells the upstream the one that
/// the exchange has.
pub fn settle(ids: &RequestIds, is_proxy: bool, head: &mut Request<()>, id: &mut RequestId) {
    let is_trusted = match ids.trust {
        IdTrust::Never => false,
        IdTrust::Proxies => is_proxy,
        IdTrust::Always => true,
    };
    let mut brought = head.headers().get_all(&ids.header).iter();
    if let (true, Some(only), None) = (is_trusted, brought.next(), brought.next())
        && let Some(text) = only.to_str().ok().filter(|text| is_usable(text))
    {
        id.given = Some(text.into());
    }
    head.headers_mut().remove(&ids.header);
    if ids.upstream
        && let Ok(value) = HeaderValue::try_from(id.to_string())
    {
        head.headers_mut().insert(ids.header.clone(), value);
    }
}

/// Tells the client.
pub fn tell(ids: &RequestIds, head: &mut Response<()>, id: &RequestId) {
    if ids.client
        && let Ok(value) = HeaderValue::try_from(id.to_string())
    {
        head.headers_mut().insert(ids.header.clone(), value);
    }
}

/// Nothing that a log, a header or a shell would read as more than a name.
fn is_usable(id: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only() {
        let longest = "x".repeat(LONGEST);
        for good in ["a", "0af7-65_19.16:cd/43+dd=@~", &longest] {
            assert!(is_usable(good), "{good}");
        }
        for bad in ["", "a b", "a\"b", "a;b", "é", &format!("{longest}x")] {
            assert!(!is_usable(bad), "{bad}");
        }
    }
}
