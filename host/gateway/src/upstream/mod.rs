//! A named group of endpoints, as one worker sees it.

mod endpoint;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use limen_config::UpstreamTimeouts;

use crate::body::{RequestBody, ResponseBody, Upload};
use crate::refusal::Fault;

use endpoint::{ConnectError, SendError};
pub use endpoint::{Connection, Endpoint};

pub struct Upstream {
    endpoints: Vec<Rc<Endpoint>>,
    timeout: UpstreamTimeouts,
    /// Whose turn it is: round robin, each worker on its own.
    turn: Cell<usize>,
}

impl Upstream {
    /// `turn` is the endpoint to begin with, so that workers don't all begin with the first.
    pub fn new(endpoints: Vec<Rc<Endpoint>>, timeout: UpstreamTimeouts, turn: usize) -> Self {
        Upstream { endpoints, timeout, turn: Cell::new(turn) }
    }

    /// Sends a request to the endpoint whose turn it is, or to the next one where that refuses the
    /// connection. (One that does not even refuse costs the whole time limit, and no more than one.)
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<()>, ResponseBody), Fault> {
        let upload = request.body().upload();
        let mut refused = None;
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let (before, from_turn) =
            self.endpoints.split_at(turn.checked_rem(self.endpoints.len()).unwrap_or(0));
        for endpoint in from_turn.iter().chain(before) {
            loop {
                let connection = match endpoint.connection(self.timeout.connect).await {
                    Ok(connection) => connection,
                    Err(ConnectError::Failed(reason)) => {
                        refused = Some(reason);
                        break;
                    }
                    Err(ConnectError::TimedOut(reason)) => return Err(Fault::upstream_slow(reason)),
                };
                match self.answer(connection.send(request), upload.as_deref(), endpoint).await? {
                    Ok((head, incoming, connection)) => {
                        let body = ResponseBody::new(incoming, connection, self.timeout.idle);
                        return Ok((head, body));
                    }
                    // The connection was closed before anything was sent on it: the next one.
                    Err(SendError::Unsent(unsent)) => request = *unsent,
                    Err(SendError::Broken(reason)) => return Err(Fault::upstream_broken(reason)),
                }
            }
        }
        Err(Fault::upstream_unreachable(refused.unwrap_or_else(|| "it has no endpoints".to_owned())))
    }

    /// Waits for the response head. The time limit counts from the end of the request body, and from
    /// its last movement while that is on its way.
    async fn answer<F: Future>(
        &self,
        sent: F,
        upload: Option<&Upload>,
        endpoint: &Endpoint,
    ) -> Result<F::Output, Fault> {
        let mut sent = std::pin::pin!(sent);
        let mut limit = self.timeout.first_byte;
        loop {
            match tokio::time::timeout(limit, sent.as_mut()).await {
                Ok(output) => return Ok(output),
                Err(_) => match upload.map(|upload| upload.moved().elapsed()) {
                    Some(still) if still < self.timeout.first_byte => limit = self.timeout.first_byte - still,
                    Some(_) if upload.is_some_and(|upload| !upload.is_done() && upload.is_waiting()) => {
                        return Err(Fault::body_too_slow());
                    }
                    _ => return Err(self.too_slow(endpoint, self.timeout.first_byte)),
                },
            }
        }
    }

    fn too_slow(&self, endpoint: &Endpoint, limit: Duration) -> Fault {
        Fault::upstream_slow(format!("{} sent no response within {limit:?}", endpoint.address()))
    }
}
