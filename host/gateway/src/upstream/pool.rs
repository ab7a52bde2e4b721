//! This worker's connections to one endpoint: HTTP/1.1, kept alive.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::{RequestBody, Upload};

use super::endpoint::Address;
use super::failure::{Failure, FailureKind, describe};

/// Idle connections that one worker keeps to one endpoint.
const IDLE_EACH: usize = 256;
/// How long a connection may be idle before it is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The connections to an endpoint that nobody uses right now, and how to make new ones.
pub struct Pool {
    address: Address,
    idle: RefCell<Vec<(Instant, SendRequest<RequestBody>)>>,
}

/// The pools of a worker. Each lives as long as an upstream of a world has it.
#[derive(Default)]
pub struct Pools(RefCell<HashMap<Address, Weak<Pool>>>);

/// The right to use one connection for one request.
pub struct Connection {
    pool: Rc<Pool>,
    sender: SendRequest<RequestBody>,
    /// It has served before, and may have been closed since.
    used: bool,
    upload: Option<Rc<Upload>>,
}

impl Pools {
    pub fn get(&self, address: &Address) -> Rc<Pool> {
        let mut pools = self.0.borrow_mut();
        if let Some(pool) = pools.get(address).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Rc::new(Pool::new(address.clone()));
        pools.insert(address.clone(), Rc::downgrade(&pool));
        pool
    }

    /// Closes what has been idle for too long, and forgets endpoints that nobody names any more.
    pub fn prune(&self) {
        let mut pools = self.0.borrow_mut();
        pools.retain(|_, pool| pool.upgrade().inspect(|pool| pool.prune()).is_some());
    }
}

impl Pool {
    fn new(address: Address) -> Self {
        Pool { address, idle: RefCell::default() }
    }

    /// An idle connection, or a new one.
    pub async fn connection(self: &Rc<Self>, limit: Duration) -> Result<Connection, Failure> {
        while let Some(mut sender) = self.pop() {
            // A connection whose last answer has just ended is ready in a moment.
            let ready =
                sender.is_ready() || matches!(tokio::time::timeout(limit, sender.ready()).await, Ok(Ok(())));
            if ready {
                return Ok(Connection { pool: self.clone(), sender, used: true, upload: None });
            }
        }
        match tokio::time::timeout(limit, self.connect()).await {
            Ok(Ok(sender)) => Ok(Connection { pool: self.clone(), sender, used: false, upload: None }),
            Ok(Err(reason)) => Err(Failure::new(FailureKind::Connect, format!("{}: {reason}", self.address))),
            Err(_) => {
                let reason = format!("{} took no connection within {limit:?}", self.address);
                Err(Failure::new(FailureKind::ConnectTimeout, reason))
            }
        }
    }

    /// Closes what has been idle for too long.
    fn prune(&self) {
        self.idle.borrow_mut().retain(|(since, sender)| !sender.is_closed() && since.elapsed() < IDLE_LIMIT);
    }

    fn pop(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        while let Some((_, sender)) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port))
            .await
            .map_err(|error| text(&error))?;
        stream.set_nodelay(true).map_err(|error| text(&error))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
        // It ends with its sender, or when the other side closes; what goes wrong on it the request
        // that uses it is told.
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

impl Connection {
    /// Sends a request and waits for the head of its response.
    pub async fn send(
        mut self,
        request: Request<RequestBody>,
    ) -> Result<(Response<()>, Incoming, Connection), Failure> {
        self.upload = request.body().upload();
        match self.sender.try_send_request(request).await {
            Ok(response) => {
                let (parts, incoming) = response.into_parts();
                Ok((Response::from_parts(parts, ()), incoming, self))
            }
            Err(mut error) => {
                let request = error.take_message().map(Box::new);
                let kind = match request {
                    Some(_) if self.used => FailureKind::Unsent,
                    Some(_) => FailureKind::Connect,
                    None => FailureKind::of(error.error(), self.used),
                };
                let reason = format!("{}: {}", self.pool.address, describe(error.error()));
                Err(Failure { kind, reason, request })
            }
        }
    }

    /// Gives it back after the end of the response. One that still carries a request body is closed.
    pub fn release(self) {
        let busy = self.upload.is_some_and(|upload| !upload.is_done());
        let mut idle = self.pool.idle.borrow_mut();
        if !busy && !self.sender.is_closed() && idle.len() < IDLE_EACH {
            idle.push((Instant::now(), self.sender));
        }
    }
}
