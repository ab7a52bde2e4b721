//! HTTP/1.1 on a connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use limen_config::ListenerLimits;

use super::clock::{Expired, InFlight, Watch};
use super::connection::{Ended, last_request};
use super::io::{Io, Socket};
use super::{Connection, Terms};
use crate::gateway;

/// hyper's own, for which no memory is needed; another number is one more allocation for each request.
const USUAL_HEADERS: usize = 100;
/// What is read ahead of a body, and what waits to be written, at most.
const BUFFER: usize = 64 << 10;

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

pub fn builder(limits: &ListenerLimits) -> Builder {
    let head_size = usize::try_from(limits.head_size).unwrap_or(BUFFER);
    let mut builder = Builder::new();
    // The watch sees to it.
    builder.header_read_timeout(None);
    builder.max_header_size(head_size).max_buf_size(head_size.max(BUFFER));
    if limits.headers > USUAL_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}

/// Serves requests until the client goes, a limit is passed, or the listener closes.
pub async fn serve<S: Socket>(io: Io<S>, connection: Rc<Connection>, terms: Arc<Terms>, mut watch: Watch) {
    let (client, clock, door) =
        (connection.client.address, connection.clock.clone(), connection.door.clone());
    let service = service_fn(move |request| {
        let in_flight = connection.clock.begin();
        // In a box: hyper moves what it is given, more than once, and keeps the room for it as long as the
        // connection, and most connections wait.
        let answering = Box::pin(gateway::handle(connection.clone(), request));
        async move { Ok::<_, Infallible>(answering.await?.map(|body| Answer { body, _in_flight: in_flight })) }
    });
    let mut serving = terms.http1.serve_connection(TokioIo::new(io), service).with_upgrades();
    let (mut closing, mut leaving) = (std::pin::pin!(last_request(&door)), false);
    let ended = loop {
        tokio::select! {
            biased;
            result = &mut serving => break Ended::of(result),
            () = closing.as_mut(), if !leaving => {
                leaving = true;
                Pin::new(&mut serving).graceful_shutdown();
            }
            () = door.over(), if leaving => break Ended::Well,
            expired = watch.expired() => break Ended::Expired(expired),
        }
    };
    let last_word: Option<&'static [u8]> = match ended {
        // hyper has said which status it is.
        Ended::Malformed(_) | Ended::LargeHead(_) => Some(b""),
        // It would be read as part of an answer that the client has not taken yet.
        Ended::Expired(Expired::Head) if clock.is_blocked() => None,
        Ended::Expired(Expired::Head) => Some(TOO_SLOW),
        Ended::Expired(Expired::Send) => {
            clock.give_up();
            None
        }
        _ => None,
    };
    ended.tell(&terms, client);
    if let (Some(word), Some(parts)) = (last_word, serving.into_parts()) {
        parts.io.into_inner().leave(word).await;
    }
}

/// An answer on its way: as long as it is, the request is.
struct Answer<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
