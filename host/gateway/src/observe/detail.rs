//! What the access log and traces tell of an exchange beyond what metrics count.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, Version};

use super::access_log::{self, AccessLog};

/// The request as it came, before policies change it and the upstream takes it; and what was noted since.
pub struct Detail {
    pub method: Method,
    pub target: Uri,
    pub version: Version,
    pub host: Option<HeaderValue>,
    /// Those that the access log tells, in its order.
    pub request_headers: Vec<Option<HeaderValue>>,
    pub response_headers: RefCell<Vec<Option<HeaderValue>>>,
    /// The last that was asked.
    pub endpoint: RefCell<String>,
    /// Until the head of its answer was there.
    pub upstream_time: Cell<Option<Duration>>,
}

impl Detail {
    pub fn note(request: &Request<()>, log: Option<&AccessLog>) -> Box<Self> {
        let headers = request.headers();
        Box::new(Detail {
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            host: headers.get(header::HOST).cloned(),
            request_headers: log
                .map(|log| access_log::note(headers, &log.request_headers))
                .unwrap_or_default(),
            response_headers: RefCell::default(),
            endpoint: RefCell::default(),
            upstream_time: Cell::default(),
        })
    }

    /// The answer is there.
    pub fn answered(&self, headers: &HeaderMap, log: Option<&AccessLog>) {
        if let Some(log) = log.filter(|log| !log.response_headers.is_empty()) {
            self.response_headers.replace(access_log::note(headers, &log.response_headers));
        }
    }
}
