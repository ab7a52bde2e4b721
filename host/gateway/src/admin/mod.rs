//! Where operators ask: `[admin]`. Beside the workers, on a thread of its own, so that it answers when
//! they are busy and costs them nothing.

mod answer;
mod caches;
mod guard;
mod keys;
mod pages;
mod peer;
mod place;
mod plugins;
mod quotas;
mod reload;
mod status;
mod upstreams;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use limen_config::ConfigError;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::edition::{Edition, Editions};
use crate::listener::socket::Inherited;
use crate::observe::metrics::Metrics;
use crate::reload::{Ask, Record};
use crate::{StartError, thread};
pub use answer::moment;
use peer::Peer;
pub use peer::our_user;
pub use place::Place;

/// Connections at a time. One more takes the place of the oldest: who only holds them keeps nobody out,
/// and a probe least of all.
const CONNECTIONS: usize = 64;
/// A client that sends no request head for so long is let go, also between two requests.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// A connection lives no longer than this, whatever its client does.
const CONNECTION_LIMIT: Duration = Duration::from_secs(600);
/// The longest request head.
const LARGEST_HEAD: usize = 16 << 10;

/// What the admin listener knows. There is one in every process, also without `[admin]`: a reload can
/// bring that.
pub struct Admin {
    started: Instant,
    metrics: Arc<Metrics>,
    reloads: Arc<Record>,
    /// Set when the gateway serves.
    serving: OnceLock<Serving>,
    place: watch::Sender<Option<Arc<Place>>>,
}

/// What is there once the gateway serves.
struct Serving {
    editions: Editions,
    ask: Sender<Ask>,
}

impl Admin {
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Admin {
            started: Instant::now(),
            metrics,
            reloads: Arc::default(),
            serving: OnceLock::new(),
            place: watch::Sender::new(None),
        })
    }

    /// What became of reloads.
    pub fn reloads(&self) -> Arc<Record> {
        self.reloads.clone()
    }

    /// Where a configuration wants it: the socket that it has if that is the place, else the one that
    /// somebody else opened, else a new one.
    pub fn open(
        &self,
        config: Option<&limen_config::Admin>,
        inherited: Option<&mut Vec<Inherited>>,
    ) -> Result<Option<Arc<Place>>, ConfigError> {
        let Some(config) = config else { return Ok(None) };
        let running = self.place.borrow().clone();
        Place::open(config, running.as_deref(), inherited).map(|place| Some(Arc::new(place)))
    }

    /// Listens there from now on, and nowhere else.
    pub fn listen(&self, place: Option<Arc<Place>>) {
        self.place.send_replace(place);
    }

    /// Its socket, for a process that takes over.
    pub fn descriptors(&self) -> Vec<Inherited> {
        self.place.borrow().iter().filter_map(|place| place.inherit()).collect()
    }

    /// The gateway serves.
    pub fn serves(&self, editions: Editions, ask: Sender<Ask>) {
        let _ = self.serving.set(Serving { editions, ask }); // it is said once
    }

    fn edition(&self) -> Option<Edition> {
        self.serving.get().map(|serving| serving.editions.current())
    }

    /// Answers on a thread of its own, wherever it is to listen.
    pub fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| StartError::Machine(format!("can't start the admin listener: {error}")))?;
        let admin = self.clone();
        thread::spawn("limen-admin", move || runtime.block_on(admin.follow()))?;
        Ok(())
    }

    async fn follow(self: Arc<Self>) {
        let mut places = self.place.subscribe();
        loop {
            let place = places.borrow_and_update().clone();
            let changed = match place {
                None => places.changed().await,
                Some(place) => tokio::select! {
                    changed = places.changed() => changed,
                    error = self.clone().serve(&place) => {
                        tracing::error!("the admin listener at {} is gone: {error}", place.address);
                        places.changed().await
                    }
                },
            };
            if changed.is_err() {
                return;
            }
        }
    }

    async fn serve(self: Arc<Self>, place: &Arc<Place>) -> std::io::Error {
        let app = guard::around(pages::router(self), place.clone());
        let listener = match place.listener().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        let Err(error) = accept(listener, app, place).await;
        error
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    app: Router,
    place: &Place,
) -> Result<Infallible, std::io::Error> {
    let mut room = Room::default();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(LARGEST_HEAD);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok((stream, address)) => (stream, address),
            Err(error) => {
                tracing::warn!("the admin listener could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let local = stream.local_addr().unwrap_or(place.address);
        let peer = Peer { address, local, has_token: place.token.is_some() };
        let app = TowerToHyperService::new(app.clone().layer(Extension(peer)));
        let serving = server.serve_connection(TokioIo::new(stream), app);
        // How it ends is the client's to notice.
        let served = tokio::spawn(tokio::time::timeout(CONNECTION_LIMIT, serving));
        room.take(served.abort_handle());
    }
}

/// The connections there are, oldest first.
#[derive(Default)]
struct Room(VecDeque<AbortHandle>);

impl Room {
    fn take(&mut self, connection: AbortHandle) {
        self.0.retain(|known| !known.is_finished());
        if self.0.len() >= CONNECTIONS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(connection);
    }
}
