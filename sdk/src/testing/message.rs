//! Requests and responses of a test: made before a hook, read after it.

use serde_json::Value;

use crate::host::mock;

/// A request, made with [`get`], [`post`] or [`request`] and the methods here; and one that the next
/// policy would see.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`, ...
    pub method: String,
    /// The host asked for: `example.test` unless the test says otherwise.
    pub authority: String,
    /// Without the query.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// Names in lower case, with their values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// What follows the body: names in lower case, with their values, in order.
    pub trailers: Vec<(String, Vec<u8>)>,
    chunks: Vec<Vec<u8>>,
    path_params: Vec<(String, String)>,
}

/// A response, made with [`response`] and the methods here; and one that the client would see.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, with their values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// What follows the body: names in lower case, with their values, in order.
    pub trailers: Vec<(String, Vec<u8>)>,
    chunks: Vec<Vec<u8>>,
    local: bool,
}

/// `GET` of a target such as `/path?query`.
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// `POST` of this body to a target. Set a `content-type` where it matters, or see [`Request::json`].
pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
    request("POST", target).body(body)
}

/// A request of any method.
pub fn request(method: &str, target: &str) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (target, None),
    };
    Request {
        method: method.into(),
        authority: "example.test".into(),
        path: path.into(),
        query,
        headers: Vec::new(),
        body: Vec::new(),
        trailers: Vec::new(),
        chunks: Vec::new(),
        path_params: Vec::new(),
    }
}

/// An upstream's response with this status.
pub fn response(status: u16) -> Response {
    Response::local(mock::ResponseHead { status, head: mock::Head::default() }, Vec::new()).upstreams()
}

impl Request {
    /// What the route's path matched for `{name}`.
    pub fn path_param(mut self, name: &str, value: &str) -> Self {
        self.path_params.push((name.into(), value.into()));
        self
    }

    /// The host asked for.
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = authority.into();
        self
    }

    pub(super) fn arrive(self, exchange: &mut mock::Exchange) {
        exchange.path_params = self.path_params.into_iter().collect();
        exchange.request = mock::RequestHead {
            method: self.method,
            authority: self.authority,
            path: self.path,
            query: self.query,
            head: mock::Head { fields: self.headers },
        };
        exchange.request_body = self.body;
    }

    /// The pieces that it comes in, and its trailers.
    pub(super) fn passing(&self) -> (Vec<Vec<u8>>, mock::Head) {
        (pieces(&self.chunks, &self.body), mock::Head { fields: self.trailers.clone() })
    }

    pub(super) fn leave(exchange: &mock::Exchange) -> Self {
        let mock::RequestHead { method, authority, path, query, head } = exchange.request.clone();
        Request {
            method,
            authority,
            path,
            query,
            headers: head.fields,
            body: exchange.request_body.clone(),
            trailers: exchange.trailers.fields.clone(),
            chunks: Vec::new(),
            path_params: exchange.path_params.clone().into_iter().collect(),
        }
    }
}

impl Response {
    /// One that the gateway, or another policy, gave itself.
    pub fn as_local(mut self) -> Self {
        self.local = true;
        self
    }

    /// The pieces that it comes in, and its trailers.
    pub(super) fn passing(&self) -> (Vec<Vec<u8>>, mock::Head) {
        (pieces(&self.chunks, &self.body), mock::Head { fields: self.trailers.clone() })
    }

    pub(super) fn arrive(self, exchange: &mut mock::Exchange) {
        exchange.response =
            mock::ResponseHead { status: self.status, head: mock::Head { fields: self.headers } };
        exchange.response_body = self.body;
        exchange.response_is_local = self.local;
    }

    pub(super) fn leave(exchange: &mock::Exchange) -> Self {
        let mut response = Response::local(exchange.response.clone(), exchange.response_body.clone());
        response.local = exchange.response_is_local;
        response.trailers = exchange.trailers.fields.clone();
        response
    }

    pub(super) fn local(head: mock::ResponseHead, body: Vec<u8>) -> Self {
        let (trailers, chunks) = (Vec::new(), Vec::new());
        Response { status: head.status, headers: head.head.fields, body, trailers, chunks, local: true }
    }

    fn upstreams(self) -> Self {
        Response { local: false, ..self }
    }
}

/// What a policy is given at a time, at most.
const CHUNK: usize = 64 * 1024;

/// A body as a policy gets it, if it wants chunks.
fn pieces(chunks: &[Vec<u8>], body: &[u8]) -> Vec<Vec<u8>> {
    let whole = [body.to_vec()];
    let chunks = if chunks.is_empty() { &whole } else { chunks };
    chunks.iter().flat_map(|chunk| chunk.chunks(CHUNK)).map(<[u8]>::to_vec).collect()
}

/// What both have.
macro_rules! message {
    ($name:ident) => {
        impl $name {
            /// Add a header.
            pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
                self
            }

            /// This body, and the `content-length` that belongs to it.
            pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
                self.body = body.into();
                self.headers.retain(|(name, _)| name != "content-length");
                let length = self.body.len().to_string();
                self.header("content-length", length)
            }

            /// A body that comes in these pieces, its length not told beforehand.
            pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
                self.chunks = chunks.into_iter().map(Into::into).collect();
                self.body = self.chunks.concat();
                self.headers.retain(|(name, _)| name != "content-length");
                self
            }

            /// Add a trailer.
            pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                self.trailers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
                self
            }

            /// This body, with `content-type: application/json`.
            pub fn json(self, body: &Value) -> Self {
                self.header("content-type", "application/json").body(body.to_string())
            }

            /// The first value of a header; `None` also if it is not UTF-8.
            pub fn value(&self, name: &str) -> Option<&str> {
                self.headers
                    .iter()
                    .find(|(field, _)| field.eq_ignore_ascii_case(name))
                    .and_then(|(_, value)| str::from_utf8(value).ok())
            }

            /// The body as text; what is not UTF-8 becomes U+FFFD.
            pub fn body_text(&self) -> String {
                String::from_utf8_lossy(&self.body).into_owned()
            }

            /// The body read as JSON. Errors: it is not.
            pub fn body_json(&self) -> crate::Result<Value> {
                Ok(serde_json::from_slice(&self.body)?)
            }
        }
    };
}

message!(Request);
message!(Response);
