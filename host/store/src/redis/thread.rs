//! The thread that has the connection.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::{Gone, Health, Job, What, reason};

/// Answers in a row that were not there in time, before nobody waits for the next one.
const LATE: u32 = 3;
/// How long a connection may take to stand, a handshake of TLS among it.
const CONNECT: Duration = Duration::from_secs(1);
/// The pauses between tries to reach it: each is twice as long as the one before.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];

/// Serves jobs until nobody can send any more.
pub(super) fn run(
    client: &Client,
    jobs: mpsc::Receiver<Job>,
    health: &Health,
    limit: Duration,
    first: Sender<()>,
) {
    match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(serve(client, jobs, health, limit, first)),
        Err(error) => tracing::error!("the store can't be used, no runtime for it: {error}"),
    }
}

async fn serve(
    client: &Client,
    mut jobs: mpsc::Receiver<Job>,
    health: &Health,
    limit: Duration,
    first: Sender<()>,
) {
    let mut first = Some(first);
    let mut pause = PAUSES[0];
    let mut told = false;
    loop {
        let because = match connect(client, limit).await {
            Ok(connection) => {
                health.connections.fetch_add(1, Ordering::Relaxed);
                health.is_up.store(true, Ordering::Relaxed);
                if told {
                    tracing::info!("the store answers again");
                }
                (told, pause) = (false, PAUSES[0]);
                drop(first.take());
                let line = Line::new(connection);
                let because = line.serve(&mut jobs).await;
                health.is_up.store(false, Ordering::Relaxed);
                because
            }
            Err(because) => Some(because),
        };
        let Some(because) = because else { return };
        drop(first.take());
        if !told {
            tracing::warn!("the store does not answer: {because}; policies do without it until it does");
            told = true;
        }
        // What was sent before anybody knew.
        while jobs.try_recv().is_ok() {}
        tokio::select! {
            () = sleep(pause) => {}
            None = jobs.recv() => return,
        }
        pause = (pause * 2).min(PAUSES[1]);
    }
}

/// A connection that something was asked on.
async fn connect(client: &Client, limit: Duration) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let late = |what: &str, limit: Duration| format!("{what} took longer than {limit:?}");
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let connected = timeout(CONNECT, connecting).await.map_err(|_| late("to connect", CONNECT))?;
    let mut connection = connected.map_err(|error| reason(&error))?;
    let ping = timeout(limit, cmd("PING").query_async::<Value>(&mut connection)).await;
    match ping.map_err(|_| late("an answer", limit))? {
        Ok(_) => Ok(connection),
        Err(error) => Err(reason(&error)),
    }
}

/// A connection with jobs under way.
struct Line {
    connection: MultiplexedConnection,
    late: Cell<u32>,
    /// It was told that it refuses something.
    complained: Cell<bool>,
    broken: Cell<Option<String>>,
    breaks: Notify,
}

impl Line {
    fn new(connection: MultiplexedConnection) -> Rc<Self> {
        Rc::new(Line {
            connection,
            late: Cell::new(0),
            complained: Cell::new(false),
            broken: Cell::new(None),
            breaks: Notify::new(),
        })
    }

    /// Until it is broken, and why; none if nobody can send jobs any more.
    async fn serve(self: Rc<Self>, jobs: &mut mpsc::Receiver<Job>) -> Option<String> {
        loop {
            let job = tokio::select! {
                job = jobs.recv() => job?,
                () = self.breaks.notified() => return self.broken.take(),
            };
            let line = self.clone();
            spawn_local(async move {
                let Job { what, limit, answer } = job;
                let done = line.work(what, limit).await;
                // Whoever asked may be gone.
                let _ = answer.send(done);
            });
        }
    }

    async fn work(&self, what: What, limit: Duration) -> Result<Value, Gone> {
        let mut connection = self.connection.clone();
        match timeout(limit, what.ask(&mut connection)).await {
            Ok(Ok(value)) => {
                self.late.set(0);
                Ok(value)
            }
            Ok(Err(error)) => {
                self.fails(&error);
                Err(Gone)
            }
            Err(_) => {
                self.late.set(self.late.get() + 1);
                if self.late.get() >= LATE {
                    self.breaks(format!("{LATE} answers in a row took longer than {limit:?}"));
                }
                Err(Gone)
            }
        }
    }

    fn fails(&self, error: &RedisError) {
        use ErrorKind::{Io, Parse, Server};
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
        let is_of_the_job = !matches!(
            error.kind(),
            Io | Parse | Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain)
        );
        // What it refuses to do of one job says nothing of the next.
        if is_of_the_job && !error.is_unrecoverable_error() {
            if !self.complained.replace(true) {
                tracing::warn!("the store refuses something: {}", reason(error));
            }
            return;
        }
        self.breaks(reason(error));
    }

    fn breaks(&self, because: String) {
        self.broken.set(Some(because));
        self.breaks.notify_one();
    }
}

impl What {
    async fn ask(self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        match self {
            What::Command(command) => command.query_async(connection).await,
            What::Script(call) => call.invoke_async(connection).await,
        }
    }
}
