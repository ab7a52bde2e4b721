//! Content types: what is worth compressing, and what never is.

use http::HeaderMap;
use http::header;

use crate::native::settings::SettingsError;

/// What is text in one way or another.
pub(super) const USUAL: &[&str] = &[
    "text/*",
    "application/json",
    "*+json",
    "application/x-ndjson",
    "application/xml",
    "*+xml",
    "application/javascript",
    "application/x-javascript",
    "application/graphql",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

/// Some content types.
pub(super) struct Kinds(Vec<Kind>);

enum Kind {
    Exactly(String),
    /// "text/"
    Below(String),
    /// "+json"
    Ending(String),
}

impl Kinds {
    pub(super) fn new(types: &[String]) -> Result<Self, SettingsError> {
        let kinds = types.iter().enumerate().map(|(at, text)| {
            let kind = text.to_ascii_lowercase();
            match (kind.strip_prefix("*+"), kind.strip_suffix("/*")) {
                (Some(ending), _) if is_token(ending) => Ok(Kind::Ending(format!("+{ending}"))),
                (None, Some(kind)) if is_token(kind) => Ok(Kind::Below(format!("{kind}/"))),
                (None, None) if kind.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b)) => {
                    Ok(Kind::Exactly(kind))
                }
                _ => {
                    let message =
                        format!("not a content type like \"text/html\", \"text/*\" or \"*+json\": `{text}`");
                    Err(SettingsError::new(&format!("/types/{at}"), message))
                }
            }
        });
        Ok(Kinds(kinds.collect::<Result<_, _>>()?))
    }

    pub(super) fn have(&self, head: &HeaderMap) -> bool {
        let Some(kind) = media_type(head) else { return false };
        self.0.iter().any(|known| match known {
            Kind::Exactly(known) => kind.eq_ignore_ascii_case(known),
            Kind::Below(begin) => {
                kind.get(..begin.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(begin))
            }
            Kind::Ending(end) => {
                let begin = kind.len().checked_sub(end.len());
                begin.and_then(|at| kind.get(at..)).is_some_and(|kind| kind.eq_ignore_ascii_case(end))
            }
        })
    }
}

/// Whether it is a stream of messages, which somebody waits for one by one.
pub(super) fn streams(head: &HeaderMap) -> bool {
    media_type(head).is_some_and(|kind| {
        kind.eq_ignore_ascii_case("text/event-stream")
            || kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case("application/grpc"))
    })
}

/// The content type without its parameters.
fn media_type(head: &HeaderMap) -> Option<&str> {
    let value = head.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}*".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: &str) -> HeaderMap {
        [(header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn what_is_text_is_worth_it() {
        let usual: Vec<_> = USUAL.iter().map(|kind| (*kind).to_owned()).collect();
        let usual = Kinds::new(&usual).unwrap();
        for kind in [
            "text/html; charset=utf-8",
            "TEXT/Plain",
            "application/json",
            "application/problem+json",
            "image/svg+xml;a=b",
        ] {
            assert!(usual.have(&head(kind)), "{kind}");
        }
        for kind in
            ["image/png", "video/mp4", "application/octet-stream", "application/zip", "textual/x", "json", ""]
        {
            assert!(!usual.have(&head(kind)), "{kind}");
        }
        assert!(!usual.have(&HeaderMap::new()));
        assert!(streams(&head("text/event-stream")) && streams(&head("application/grpc+proto")));
        assert!(!streams(&head("text/events")) && !streams(&head("application/grp")));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for kind in
            ["", "text", "text/", "/x", "*", "*/*", "text/**", "*+", "a b/c", "text/html; charset=utf-8"]
        {
            let refused = Kinds::new(&["text/html".to_owned(), kind.to_owned()]).err().unwrap();
            assert_eq!(refused.pointer, "/types/1", "{kind}");
        }
    }
}
