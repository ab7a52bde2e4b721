//! The thread that has the connection.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Job, Room, Trouble, Waiting, What, reason};

/// Answers in a row that were not there in time, before nobody waits for the next one.
const LATE: u32 = 3;
/// How long a connection may take to stand, a handshake of TLS among it.
const CONNECT: Duration = Duration::from_secs(1);
/// The pauses between tries to reach it: each is twice as long as the one before.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];
/// How often what is to be done again and again is looked through.
const TEND_EVERY: Duration = Duration::from_millis(500);
/// After so many of these times without a job it is asked all the same, so that it is known whether it answers: 5 s.
const PING_AFTER: u32 = 10;

/// Serves jobs until nobody can send any more.
pub(super) fn run(
    client: &Client,
    jobs: mpsc::Receiver<Job>,
    room: &Arc<Room>,
    limit: Duration,
    first: Sender<()>,
) {
    match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(serve(client, jobs, room, limit, first)),
        Err(error) => tracing::error!("the store can't be used, no runtime for it: {error}"),
    }
}

async fn serve(
    client: &Client,
    mut jobs: mpsc::Receiver<Job>,
    room: &Arc<Room>,
    limit: Duration,
    first: Sender<()>,
) {
    let mut first = Some(first);
    let mut pause = PAUSES[0];
    let mut told = false;
    loop {
        let because = match connect(client, limit).await {
            Ok(connection) => {
                room.connections.fetch_add(1, Ordering::Relaxed);
                room.is_up.store(true, Ordering::Relaxed);
                if told {
                    tracing::info!("the store answers again");
                }
                (told, pause) = (false, PAUSES[0]);
                drop(first.take());
                let line = Line::new(connection, limit, room.clone());
                let because = line.serve(&mut jobs).await;
                room.is_up.store(false, Ordering::Relaxed);
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
        while let Ok(Job { of, since, answer, .. }) = jobs.try_recv() {
            room.settle(Waiting { of, since, answer }, Err(Trouble::NotAsked));
        }
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
    ping.map_err(|_| late("an answer", limit))?.map_err(|error| reason(&error))?;
    let hello = timeout(limit, cmd("HELLO").arg(2).query_async::<Value>(&mut connection)).await;
    match hello.map_err(|_| late("an answer", limit))? {
        Ok(about) if is_replica(&about) => Err("it is a replica, and takes no writes".to_owned()),
        // One before Redis 6, and a proxy in front of several, may not know the question.
        _ => Ok(connection),
    }
}

/// Whether a server that tells of itself says that it follows another one. It would answer all that is only read, and so
/// look like one that is back.
fn is_replica(about: &Value) -> bool {
    let is = |value: &Value, text: &str| match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(it) => it == text,
        _ => false,
    };
    let follows =
        |(name, role): (&Value, &Value)| is(name, "role") && (is(role, "replica") || is(role, "slave"));
    match about {
        Value::Array(pairs) => pairs.iter().zip(pairs.iter().skip(1)).any(follows),
        Value::Map(pairs) => pairs.iter().any(|(name, role)| follows((name, role))),
        _ => false,
    }
}

/// A connection with jobs under way.
struct Line {
    connection: MultiplexedConnection,
    /// How long a ping may take.
    limit: Duration,
    room: Arc<Room>,
    late: Cell<u32>,
    /// It was told that it refuses something.
    complained: Cell<bool>,
    broken: Cell<Option<String>>,
    breaks: Notify,
}

impl Line {
    fn new(connection: MultiplexedConnection, limit: Duration, room: Arc<Room>) -> Rc<Self> {
        Rc::new(Line {
            connection,
            limit,
            room,
            late: Cell::new(0),
            complained: Cell::new(false),
            broken: Cell::new(None),
            breaks: Notify::new(),
        })
    }

    /// Until it is broken, and why; none if nobody can send jobs any more.
    async fn serve(self: Rc<Self>, jobs: &mut mpsc::Receiver<Job>) -> Option<String> {
        self.room.tend(true);
        let mut tending = interval(TEND_EVERY);
        tending.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = 0;
        loop {
            let job = tokio::select! {
                job = jobs.recv() => job?,
                () = self.breaks.notified() => return self.broken.take(),
                _ = tending.tick() => {
                    self.room.tend(false);
                    idle += 1;
                    if idle >= PING_AFTER {
                        idle = 0;
                        let line = self.clone();
                        let ping = What::Command(cmd("PING"));
                        spawn_local(async move { line.work(ping, line.limit).await });
                    }
                    continue;
                }
            };
            idle = 0;
            let line = self.clone();
            spawn_local(async move {
                let Job { of, what, limit, since, answer } = job;
                let came = line.work(what, limit).await;
                line.room.settle(Waiting { of, since, answer }, came);
            });
        }
    }

    async fn work(&self, what: What, limit: Duration) -> Result<Value, Trouble> {
        let mut connection = self.connection.clone();
        match timeout(limit, what.ask(&mut connection)).await {
            Ok(Ok(value)) => {
                self.late.set(0);
                Ok(value)
            }
            Ok(Err(error)) => Err(self.fails(&error)),
            Err(_) => {
                self.late.set(self.late.get() + 1);
                if self.late.get() >= LATE {
                    self.breaks(format!("{LATE} answers in a row took longer than {limit:?}"));
                }
                Err(Trouble::Unknown)
            }
        }
    }

    fn fails(&self, error: &RedisError) -> Trouble {
        use ErrorKind::{Io, Parse, Server};
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
        let is_of_the_job = !matches!(
            error.kind(),
            Io | Parse | Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain)
        );
        let is_answer = matches!(error.kind(), Server(_) | ErrorKind::Extension);
        let trouble = if is_answer { Trouble::Refused(reason(error)) } else { Trouble::Unknown };
        // What it refuses to do of one job says nothing of the next.
        if is_of_the_job && !error.is_unrecoverable_error() {
            if !self.complained.replace(true) {
                tracing::warn!("the store refuses something: {}", reason(error));
            }
        } else {
            self.breaks(reason(error));
        }
        trouble
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
