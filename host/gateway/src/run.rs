//! `limen run`: from a file to a gateway that serves, reloads and drains.

use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use limen_config::Config;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::listener::socket;
use crate::observe::metrics::Metrics;
use crate::reload::{self, Reason, Reloader};
use crate::{StartError, build, observe, worker};

/// Serves until it is told to stop.
pub fn run(file: &Path) -> Result<(), StartError> {
    let (config, seen) = reload::load(file).map_err(StartError::Config)?;
    observe::log::start(&config.log);
    let workers =
        config.gateway.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    let (registry, snapshot) = build(&config, workers)?;
    let sockets = bind(&config, workers)?;

    let plugins = snapshot.versions();
    let metrics = Arc::<Metrics>::default();
    let (publish, snapshots) = watch::channel(Arc::new(snapshot));
    let (drain, draining) = watch::channel(false);
    let (reloader, ask) = Reloader::new(&config, seen, registry, publish);
    let signals =
        Signals::catch().map_err(|error| StartError::Machine(format!("can't catch signals: {error}")))?;
    spawn("limen-signals", move || signals.follow(&drain, &ask))?;
    let threads = sockets.into_iter().enumerate().map(|(number, sockets)| {
        let start = worker::Start {
            number,
            sockets,
            snapshots: snapshots.clone(),
            drain: draining.clone(),
            drain_limit: config.gateway.drain,
            metrics: metrics.clone(),
        };
        spawn(&format!("limen-worker-{number}"), move || worker::run(start))
    });
    let threads = threads.collect::<Result<Vec<_>, _>>()?;
    spawn("limen-reload", move || reloader.run())?;

    let routes = config.routes.len();
    tracing::info!(workers, routes, plugins, "limen {} is ready", env!("CARGO_PKG_VERSION"));
    say("ready");
    for thread in threads {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(StartError::Machine(format!("a worker could not start: {error}"))),
            Err(_) => return Err(StartError::Machine("a worker panicked".to_owned())),
        }
    }
    tracing::info!("drained");
    Ok(())
}

/// A socket per worker for each listener, as one list per worker. Says where they are.
fn bind(config: &Config, workers: usize) -> Result<Vec<Vec<TcpListener>>, StartError> {
    let mut per_worker: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut places = Vec::new();
    for listener in &config.listeners {
        let cant = |error: io::Error| {
            let what = format!("{}: can't listen on {}: {error}", listener.place, listener.address);
            StartError::Machine(match error.kind() {
                io::ErrorKind::AddrInUse => format!("{what}\n  hint: another program listens there"),
                io::ErrorKind::PermissionDenied => {
                    format!("{what}\n  hint: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)")
                }
                _ => what,
            })
        };
        let sockets = socket::bind(listener.address, workers).map_err(cant)?;
        if let Some(address) = sockets.first().and_then(|socket| socket.local_addr().ok()) {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            places.push(format!("listening on {scheme}://{address} ({})", listener.name));
        }
        for (worker, socket) in per_worker.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    places.iter().for_each(|place| say(place));
    Ok(per_worker)
}

/// SIGTERM and SIGINT drain, SIGHUP reloads; the second SIGTERM or SIGINT ends at once.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves: to be called before anybody is told
    /// that we are ready.
    fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (terminate, interrupt, hangup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            )
        };
        Ok(Signals { runtime, terminate, interrupt, hangup })
    }

    /// Does what each asks for. Does not end.
    fn follow(self, drain: &watch::Sender<bool>, ask: &Sender<Reason>) {
        let Signals { runtime, mut terminate, mut interrupt, mut hangup } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        tracing::info!("SIGHUP: reloading");
                        // The reloader is gone only at the end of the process.
                        let _ = ask.send(Reason::Asked);
                        continue;
                    }
                }
                if drain.send_replace(true) {
                    std::process::exit(130);
                }
                tracing::info!("draining: no new connections, those that are open may finish");
            }
        })
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, StartError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(|error| StartError::Machine(format!("can't start the thread {name}: {error}")))
}

/// A line for whoever started us; that they don't listen is no reason to stop.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
