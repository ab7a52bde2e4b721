//! This worker's connections to one endpoint: kept, used again, made when there is none.

mod connection;
mod dial;
mod scarce;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, header};

use super::connect::http1::Http1;
use super::connect::http2::Http2;
use super::connect::{Connector, Link, Offer};
use super::endpoint::{Endpoint, EndpointId};
use super::failure::{Failure, FailureKind};
use super::resilience::Permit;
use super::tally::Tally;
use crate::body::RequestBody;

pub use connection::{Age, Connection};
use dial::Dial;
use scarce::{Scarce, Turn};

/// How long a warm connection may take to be made.
const WARM_LIMIT: Duration = Duration::from_secs(10);

/// A connection that has something to do for longer than this after its last answer is not waited for.
const READY: Duration = Duration::from_millis(100);

/// The connections to an endpoint, and how to make new ones.
pub struct Pool {
    endpoint: Arc<Endpoint>,
    connector: Arc<Connector>,
    tally: Arc<Tally>,
    /// HTTP/1.1, without a request; the last used is the last.
    idle: RefCell<Vec<Kept<Http1>>>,
    /// HTTP/2, with requests or without.
    shared: RefCell<Vec<Rc<Kept<Http2>>>>,
    /// A connection that is being made and that all who need one may turn out to share.
    dial: RefCell<Option<Rc<Dial>>>,
    /// Which protocol the endpoint chose, where it has the choice.
    spoken: Cell<Option<Spoken>>,
    /// Connections are being made ahead.
    warming: Cell<bool>,
    /// If the number of connections is limited.
    scarce: Option<Scarce>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

/// A connection that was made a while ago.
struct Kept<C> {
    connection: C,
    made: Instant,
    /// When it was last given back.
    used: Cell<Instant>,
}

/// The pools of a worker. Each lives as long as an upstream of a world has it, or a request is under way.
#[derive(Default)]
pub struct Pools(RefCell<HashMap<(EndpointId, u64), Weak<Pool>>>);

impl Pools {
    pub fn get(&self, endpoint: &Arc<Endpoint>, connector: &Arc<Connector>) -> Rc<Pool> {
        let mut pools = self.0.borrow_mut();
        let key = (endpoint.id, connector.id);
        if let Some(pool) = pools.get(&key).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Rc::new_cyclic(|pool| Pool {
            scarce: connector.slots.as_ref().map(|slots| Scarce::new(slots, pool)),
            endpoint: endpoint.clone(),
            connector: connector.clone(),
            tally: endpoint.connections.begin(),
            idle: RefCell::default(),
            shared: RefCell::default(),
            dial: RefCell::default(),
            spoken: Cell::default(),
            warming: Cell::default(),
        });
        pool.warm();
        pools.insert(key, Rc::downgrade(&pool));
        pool
    }

    /// Closes what has been idle for too long or is too old, makes what is to be kept warm, and forgets
    /// endpoints that nobody names any more.
    pub fn tend(&self) {
        let mut pools = self.0.borrow_mut();
        pools.retain(|_, pool| pool.upgrade().inspect(|pool| pool.tend()).is_some());
    }
}

impl Pool {
    /// A connection with room for this request: one that is there, unless it has to be a new one (of
    /// HTTP/2, one that still is used), or a new one. (What most requests don't wait for is in a box: all
    /// of them would be larger by it.)
    pub async fn connection(
        self: &Rc<Self>,
        request: &Request<RequestBody>,
        age: Age,
        limit: Duration,
    ) -> Result<Connection, Failure> {
        while age == Age::Kept
            && let Some(mut kept) = self.pop()
        {
            if kept.connection.is_ready() || Box::pin(kept.is_soon_ready()).await {
                self.tally.reused();
                return Ok(Connection::http1(self, kept, Age::Kept));
            }
        }
        let address = &self.endpoint.address;
        if !self.connector.may_multiplex(address) {
            return Box::pin(self.dial(Offer::Configured, limit)).await;
        }
        if self.connector.has_choice(address) && request.headers().contains_key(header::UPGRADE) {
            return Box::pin(self.dial(Offer::Http1, limit)).await;
        }
        if let Some(connection) = self.place(Age::Kept) {
            self.tally.reused();
            return Ok(connection);
        }
        match self.spoken.get() {
            Some(Spoken::Http1) => Box::pin(self.dial(Offer::Configured, limit)).await,
            _ => Box::pin(self.dial_together(limit)).await,
        }
    }

    /// A new connection.
    async fn dial(self: &Rc<Self>, offer: Offer, limit: Duration) -> Result<Connection, Failure> {
        let slot = match &self.connector.slots {
            None => None,
            Some(slots) => match Box::pin(self.turn(slots, limit)).await? {
                Turn::Open(slot) => Some(slot),
                Turn::Kept(kept) => return Ok(Connection::http1(self, kept, Age::Kept)),
            },
        };
        match self.connect(offer, limit, slot).await? {
            Link::Http1(http1) => Ok(Connection::http1(self, Kept::new(http1), Age::New)),
            Link::Http2(http2) => {
                self.share(http2);
                let closed = || {
                    let reason = format!("{} closed the connection at once", self.endpoint.address);
                    Failure::new(FailureKind::Connect, reason)
                };
                self.place(Age::New).ok_or_else(closed)
            }
        }
    }

    async fn connect(&self, offer: Offer, limit: Duration, slot: Option<Permit>) -> Result<Link, Failure> {
        let address = &self.endpoint.address;
        let link = self.connector.connect(address, offer, limit, &self.tally, slot).await?;
        if offer == Offer::Configured {
            self.spoken.set(Some(match link {
                Link::Http1(_) => Spoken::Http1,
                Link::Http2(_) => Spoken::Http2,
            }));
        }
        Ok(link)
    }

    /// Keeps a connection for later.
    fn keep(&self, http1: Kept<Http1>) {
        if let Some(slots) = &self.connector.slots
            && !self.is_awaited()
            && slots.are_wanted()
        {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.connector.pool.idle && !http1.connection.is_closed() {
            http1.used.set(Instant::now());
            if !self.is_old(&http1) {
                idle.push(http1);
                if let Some(scarce) = &self.scarce {
                    scarce.freed.notify_one();
                }
            }
        }
    }

    fn pop(&self) -> Option<Kept<Http1>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(kept) = idle.pop() {
            if !kept.connection.is_closed() {
                return Some(kept);
            }
        }
        None
    }

    fn tend(self: &Rc<Self>) {
        self.idle.borrow_mut().retain(|kept| !kept.connection.is_closed() && self.is_wanted(kept));
        self.shared.borrow_mut().retain(|kept| {
            if kept.connection.under_way() > 0 {
                kept.used.set(Instant::now());
            }
            !kept.connection.is_closed() && self.is_wanted(kept)
        });
        self.warm();
    }

    fn is_wanted<C>(&self, kept: &Kept<C>) -> bool {
        kept.used.get().elapsed() < self.connector.pool.idle_timeout && !self.is_old(kept)
    }

    /// Whether it gets no more requests.
    fn is_old<C>(&self, kept: &Kept<C>) -> bool {
        self.connector.pool.max_lifetime.is_some_and(|limit| kept.made.elapsed() >= limit)
    }

    /// Makes connections ahead. Those that can't be made are tried again when the pool is next tended.
    fn warm(self: &Rc<Self>) {
        let missing = self.connector.pool.warm.saturating_sub(self.idle.borrow().len());
        if missing == 0 || !self.shared.borrow().is_empty() || self.warming.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            for _ in 0..missing {
                let Some(pool) = pool.upgrade() else { return };
                let slot = match &pool.connector.slots {
                    None => None,
                    Some(slots) => match slots.try_acquire() {
                        None => break,
                        slot => slot,
                    },
                };
                match pool.connect(Offer::Configured, WARM_LIMIT, slot).await {
                    Ok(Link::Http1(http1)) => pool.keep(Kept::new(http1)),
                    Ok(Link::Http2(http2)) => {
                        // One is enough: all requests share it.
                        pool.share(http2);
                        break;
                    }
                    Err(failure) => {
                        tracing::debug!("no connection could be made ahead: {}", failure.reason);
                        break;
                    }
                }
            }
            pool.upgrade().inspect(|pool| pool.warming.set(false));
        });
    }
}

impl Kept<Http1> {
    /// A connection whose last answer has just ended is ready in a moment.
    async fn is_soon_ready(&mut self) -> bool {
        matches!(tokio::time::timeout(READY, self.connection.ready()).await, Ok(Ok(())))
    }
}

impl<C> Kept<C> {
    fn new(connection: C) -> Self {
        let now = Instant::now();
        Kept { connection, made: now, used: Cell::new(now) }
    }
}
