//! A named group of endpoints, as one worker sees it.

mod affinity;
mod balance;
mod connect;
mod endpoint;
mod failure;
mod health;
mod here;
mod host;
mod lease;
mod pool;
mod resolve;
mod shared;
mod source;
#[allow(dead_code, unused_imports, reason = "the admin listener is to show it")]
pub mod status;
mod tally;
mod upkeep;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use limen_policy::Client;

use crate::body::{RequestBody, ResponseBody, Upload};
use crate::observe::{Attempt, Attempts};
use crate::refusal::Fault;

use affinity::Bond;
use balance::{Ask, Balancer};
pub use connect::Connector;
use endpoint::EndpointId;
pub use endpoint::{Endpoint, Outcome};
use failure::FailureKind;
use here::Here;
pub use here::Picked;
pub use lease::Lease;
pub use pool::Pools;
pub use shared::Shared;
pub use upkeep::Upkeep;

pub struct Upstream {
    shared: Arc<Shared>,
    balancer: Balancer,
    pools: Rc<Pools>,
    here: RefCell<Rc<Here>>,
}

/// A request on its way to an upstream.
pub struct Outgoing<'a> {
    pub request: Request<RequestBody>,
    pub client: &'a Client,
    /// Where its attempts are noted; none if nobody wants to know.
    pub attempts: Option<Attempts<'a>>,
}

/// What an upstream answered.
pub struct Answer {
    pub head: Response<()>,
    pub body: ResponseBody,
}

impl Upstream {
    /// `start` differs from worker to worker, so that they don't all begin with the same endpoint.
    pub fn new(shared: Arc<Shared>, pools: Rc<Pools>, start: usize) -> Self {
        let balancer = Balancer::new(&shared.terms.balance, start);
        let upstream = Upstream { shared, balancer, pools, here: RefCell::default() };
        if upstream.shared.connector.pool.warm > 0 {
            upstream.here();
        }
        upstream
    }

    /// Sends a request to the endpoint that the balancer picks, or to the next one where that refuses
    /// the connection. (One that does not even refuse costs the whole time limit, and no more than one.)
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, Fault> {
        let Outgoing { mut request, client, attempts } = outgoing;
        let timeout = &self.shared.terms.timeout;
        let upload = request.body().upload();
        let mut refused = None;
        let mut tried = Vec::new();
        while let Some(picked) = self.pick(&Ask { request: &request, client }, &tried) {
            tried.push(picked.id());
            host::settle(&self.shared.terms.host, &picked.endpoint().address, &mut request);
            loop {
                let attempt = attempts.map(|at| at.begin(picked.endpoint(), request.headers_mut()));
                let connection = match picked.pool().connection(&request, timeout.connect).await {
                    Ok(connection) => connection,
                    Err(failure) => {
                        Attempt::fail(attempt, failure.kind.name());
                        picked.report(Outcome::Failed);
                        if failure.kind == FailureKind::ConnectTimeout {
                            return Err(Fault::upstream_slow(failure.reason));
                        }
                        refused = Some(failure.reason);
                        break;
                    }
                };
                let sent = connection.send(request);
                let answer = match self.answer(sent, upload.as_deref(), &picked).await {
                    Ok(answer) => answer,
                    Err(fault) => {
                        Attempt::fail(attempt, fault.code);
                        return Err(fault);
                    }
                };
                match answer {
                    Ok((mut head, incoming, connection)) => {
                        picked.mark(head.headers_mut());
                        Attempt::answer(attempt, head.status());
                        picked.report(Outcome::Answered(head.status()));
                        let lease = Lease { connection, picked };
                        return Ok(Answer { head, body: ResponseBody::new(incoming, lease, timeout.idle) });
                    }
                    Err(failure) => {
                        Attempt::fail(attempt, failure.kind.name());
                        match failure.request {
                            // The connection was closed before anything was sent on it: the next one.
                            Some(unsent) if failure.kind == FailureKind::Unsent => request = *unsent,
                            Some(unsent) if failure.kind == FailureKind::Connect => {
                                picked.report(Outcome::Failed);
                                request = *unsent;
                                refused = Some(failure.reason);
                                break;
                            }
                            _ => {
                                picked.report(Outcome::Failed);
                                return Err(Fault::upstream_broken(failure.reason));
                            }
                        }
                    }
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
        picked: &Picked,
    ) -> Result<F::Output, Fault> {
        let first_byte = self.shared.terms.timeout.first_byte;
        let mut sent = std::pin::pin!(sent);
        let mut limit = first_byte;
        loop {
            match tokio::time::timeout(limit, sent.as_mut()).await {
                Ok(output) => return Ok(output),
                Err(_) => match upload.map(|upload| upload.moved().elapsed()) {
                    Some(still) if still < first_byte => limit = first_byte - still,
                    Some(_) if upload.is_some_and(|upload| !upload.is_done() && upload.is_waiting()) => {
                        return Err(Fault::body_too_slow());
                    }
                    _ => {
                        picked.report(Outcome::Failed);
                        return Err(too_slow(picked.endpoint(), first_byte));
                    }
                },
            }
        }
    }

    /// The endpoint that a request goes to: none of those that were tried.
    pub fn pick(&self, ask: &Ask<'_>, tried: &[EndpointId]) -> Option<Picked> {
        let here = self.here();
        if let Some(number) = here.kept(ask.request.headers(), tried) {
            return here.picked(number, Bond::Kept);
        }
        let number = self.balancer.pick(ask, &here.set, tried)?;
        let bond = match here.set.cookies {
            Some(_) => Bond::New { secure: ask.client.tls.is_some() },
            None => Bond::Free,
        };
        here.picked(number, bond)
    }

    /// The endpoints as they are now.
    fn here(&self) -> Rc<Here> {
        let mut here = self.here.borrow_mut();
        if !self.shared.is_current(&here.set) {
            *here = Here::new(&self.shared, &self.pools);
        }
        here.clone()
    }
}

fn too_slow(endpoint: &Endpoint, limit: Duration) -> Fault {
    Fault::upstream_slow(format!("{} sent no response within {limit:?}", endpoint.address))
}
