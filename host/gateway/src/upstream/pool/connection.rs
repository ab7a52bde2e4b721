//! The right to use a connection for one request.

use std::rc::Rc;

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::body::{RequestBody, Upload};
use crate::upgrade::ExtendedConnect;
use crate::upstream::connect::http1::{self, Asked, Http1};
use crate::upstream::connect::http2::{self, Http2, Place};
use crate::upstream::failure::{Failure, FailureKind, describe};

use super::{Kept, Pool};

/// A connection, or a place on one that others use as well.
pub struct Connection {
    pool: Rc<Pool>,
    way: Way,
    age: Age,
}

enum Way {
    Http1 { kept: Kept<Http1>, upload: Option<Rc<Upload>>, after: After },
    Http2 { kept: Rc<Kept<Http2>>, _place: Place },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Made for this request.
    New,
    /// It has been there for a while, and may have been closed since.
    Kept,
}

/// What becomes of a connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Keep,
    /// It speaks another protocol from here on.
    LetGo,
}

impl Connection {
    pub(super) fn http1(pool: &Rc<Pool>, kept: Kept<Http1>, age: Age) -> Self {
        Connection { pool: pool.clone(), way: Way::Http1 { kept, upload: None, after: After::Keep }, age }
    }

    pub(super) fn http2(pool: &Rc<Pool>, kept: Rc<Kept<Http2>>, place: Place, age: Age) -> Self {
        Connection { pool: pool.clone(), way: Way::Http2 { kept, _place: place }, age }
    }

    /// Whether it was made for this request.
    pub fn is_new(&self) -> bool {
        self.age == Age::New
    }

    /// Sends a request and waits for the head of its response.
    pub async fn send(
        mut self,
        request: Box<Request<RequestBody>>,
    ) -> Result<(Response<()>, Incoming, Connection), Failure> {
        let asked = match request.headers().contains_key(header::UPGRADE) {
            true => Asked::ForUpgrade,
            false => Asked::ForAnswer,
        };
        let sent = match &mut self.way {
            Way::Http1 { kept, upload, .. } => {
                *upload = request.body().upload();
                let keep = self.age == Age::Kept && request.method().is_idempotent();
                kept.connection.send(request, keep).await.map_err(|error| self.lost(error, None))
            }
            Way::Http2 { kept, .. } if asked == Asked::ForUpgrade => {
                let kept = kept.clone();
                Box::pin(self.connect(&kept.connection, request)).await
            }
            Way::Http2 { kept, .. } => {
                let kept = kept.clone();
                Box::pin(async {
                    let copy = http2::copy(&request).map(Box::new);
                    let scheme = self.pool.endpoint.address.scheme;
                    kept.connection.send(request, scheme).await.map_err(|error| self.lost(error, copy))
                })
                .await
            }
        };
        let (mut head, incoming) = sent?.into_parts();
        if let Err(what) = http1::check(&mut head, asked) {
            return Err(self.failure(FailureKind::Malformed, what));
        }
        if let Way::Http1 { after, .. } = &mut self.way
            && head.status == StatusCode::SWITCHING_PROTOCOLS
        {
            *after = After::LetGo;
        }
        Ok((Response::from_parts(head, ()), incoming, self))
    }

    /// Asks an endpoint of HTTP/2 to go on in another protocol.
    async fn connect(
        &self,
        http2: &Http2,
        mut request: Box<Request<RequestBody>>,
    ) -> Result<Response<Incoming>, Failure> {
        http2.told().await;
        if !http2.takes_extended_connect() && !http2.is_closed() {
            let what = "it speaks HTTP/2, and has not announced extended CONNECT (RFC 8441)";
            return Err(self.failure(FailureKind::NoUpgrade, what));
        }
        let original = http2::copy(&request).map(Box::new);
        let asked = ExtendedConnect::of(&mut request);
        let copy = http2::copy(&request).map(Box::new);
        match http2.send(request, self.pool.endpoint.address.scheme).await {
            Ok(mut response) => {
                asked.answered(&mut response);
                Ok(response)
            }
            // What may go again goes as it came: perhaps to an endpoint of HTTP/1.1.
            Err(error) => {
                let failure = self.lost(error, copy);
                Err(Failure { request: failure.request.and(original), ..failure })
            }
        }
    }

    /// Gives it back after the end of the response. One that still carries a request body is closed.
    pub fn release(self) {
        if let Way::Http1 { kept, upload, after: After::Keep } = self.way
            && upload.is_none_or(|upload| upload.is_done())
        {
            self.pool.keep(kept);
        }
    }

    /// What it means that no response came. `copy` is the request, if there is one.
    fn lost(
        &self,
        mut error: TrySendError<Request<RequestBody>>,
        copy: Option<Box<Request<RequestBody>>>,
    ) -> Failure {
        let untouched = error.take_message().map(Box::new);
        let (kind, request) = match (untouched, self.age) {
            (Some(request), Age::Kept) => (FailureKind::Unsent, Some(request)),
            (Some(request), Age::New) => (FailureKind::Connect, Some(request)),
            (None, age) => {
                let kind = FailureKind::of(error.error(), age == Age::Kept);
                (kind, self.again(kind, copy))
            }
        };
        Failure { request, ..self.failure(kind, &describe(error.error())) }
    }

    /// What can be sent again although it was on its way.
    fn again(
        &self,
        kind: FailureKind,
        copy: Option<Box<Request<RequestBody>>>,
    ) -> Option<Box<Request<RequestBody>>> {
        match (kind, &self.way) {
            (FailureKind::Unsent, _) => copy,
            (FailureKind::Stale, Way::Http1 { kept, .. }) => kept.connection.unanswered().map(Box::new),
            (FailureKind::Stale, Way::Http2 { .. }) => copy.filter(|copy| copy.method().is_idempotent()),
            _ => None,
        }
    }

    fn failure(&self, kind: FailureKind, what: &str) -> Failure {
        Failure::new(kind, format!("{}: {what}", self.pool.endpoint.address))
    }
}
