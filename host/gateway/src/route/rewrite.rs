//! What an upstream is asked for in place of what the client asked.

use bytes::Bytes;
use http::Uri;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use limen_config::RoutePath;
use limen_policy::{Exchange, PathTemplate};

use crate::head;
use crate::refusal::Fault;

pub struct Rewrite {
    pub path: Option<PathTemplate>,
    host: Option<HeaderValue>,
}

impl Rewrite {
    pub fn new(rewrite: &limen_config::Rewrite, route: &RoutePath) -> Self {
        let limen_config::Rewrite { path, host } = rewrite;
        let path = path.as_ref().map(|template| PathTemplate::new(&template.pieces, route));
        Rewrite { path, host: host.clone() }
    }

    /// The target for the upstream. A path that a policy has changed is the policy's.
    pub fn target(&self, exchange: &Exchange) -> Result<Uri, Fault> {
        let uri = exchange.request.uri();
        let mut target = match (&self.path, exchange.matched_path()) {
            (Some(template), Some(matched)) if matched == uri.path() => {
                let path = template.path(exchange, matched);
                path.map_err(|astray| Fault::bad_request(astray.detail()))?
            }
            _ => return Ok(head::origin_form(uri)),
        };
        if let Some(query) = uri.query() {
            target.push('?');
            target.push_str(query);
        }
        let target = PathAndQuery::from_maybe_shared(Bytes::from(target));
        target.map(Uri::from).map_err(|_| Fault::bad_request("The path can't be read."))
    }

    pub fn host(&self, headers: &mut HeaderMap) {
        if let Some(host) = &self.host {
            headers.insert(header::HOST, host.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use limen_config::Piece;
    use limen_policy::{Client, RequestId, RouteFacts, TargetMemory};

    use super::*;

    #[test]
    fn a_path_that_a_policy_changed_stays_and_a_query_does_not_matter() {
        let template = PathTemplate::new(&[Piece::Literal("/v2".to_owned()), Piece::Path], &everything());
        let rewrite = Rewrite { path: Some(template), host: None };
        let facts = RouteFacts { target: TargetMemory::Kept, ..RouteFacts::default() };
        let request = Request::builder().uri("http://a/x?q=1").body(()).unwrap();
        let mut exchange = Exchange::new(RequestId::default(), Client::default(), Arc::new(facts), request);
        assert_eq!(rewrite.target(&exchange).unwrap(), "/v2/x?q=1");
        *exchange.request.uri_mut() = Uri::from_static("/x?q=2");
        assert_eq!(rewrite.target(&exchange).unwrap(), "/v2/x?q=2");
        *exchange.request.uri_mut() = Uri::from_static("/of-a-policy?q=2");
        assert_eq!(rewrite.target(&exchange).unwrap(), "/of-a-policy?q=2");
    }

    fn everything() -> RoutePath {
        let text = "/**".to_owned();
        RoutePath::Pattern(limen_config::PathPattern { text, segments: Vec::new(), rest: true })
    }
}
