//! A Redis or Valkey that gateways share.
//!
//! A thread of its own has the connection, and everybody sends it what is to be done and waits for the answer; so
//! what many ask at once goes out together. When the server fails (it is gone, or three answers in a row are not
//! there within the timeout) nobody waits for it any more: each job is refused at once, until the
//! thread has reached it again.

mod quotas;
mod rates;
mod records;
mod thread;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limen_config::State;
use redis::{Client, Cmd, ErrorKind, RedisError, ScriptInvocation, Value};
use tokio::sync::{mpsc, oneshot};

pub use rates::SharedRates;
pub use records::{Head, Page, SharedRecords};

/// Jobs that wait for the thread; more are refused.
const QUEUE: usize = 16 << 10;
/// How many times the usual timeout is waited for an answer that a page of records is in.
const PATIENCE: u32 = 5;
/// How long a start waits for the first connection.
const FIRST: Duration = Duration::from_secs(1);

/// The way to the server.
pub struct Redis {
    jobs: mpsc::Sender<Job>,
    health: Arc<Health>,
    /// What the name of each key begins with.
    prefix: String,
    terms: State,
    /// What the thread begins with, until it does.
    idle: Mutex<Option<(Client, mpsc::Receiver<Job>)>>,
}

/// Whether the server answers.
#[derive(Debug, Default)]
struct Health {
    is_up: AtomicBool,
    /// How many connections there were.
    connections: AtomicU64,
}

/// It has not answered, or what it answered is no answer: nobody knows whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Something to be done there.
struct Job {
    what: What,
    /// How long its answer may take.
    limit: Duration,
    answer: oneshot::Sender<Result<Value, Gone>>,
}

enum What {
    Command(Cmd),
    Script(ScriptInvocation<'static>),
}

impl Redis {
    /// None: nothing is shared. Nobody is asked before [`start`](Self::start).
    pub fn new(terms: &State) -> Result<Option<Redis>, String> {
        let Some(url) = &terms.url else { return Ok(None) };
        // What is wrong with an address is told without it: there may be a password in it.
        let client = Client::open(url.reveal()).map_err(|error| reason(&error))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        Ok(Some(Redis {
            jobs,
            health: Arc::default(),
            prefix: terms.prefix.clone(),
            terms: terms.clone(),
            idle: Mutex::new(Some((client, queue))),
        }))
    }

    /// What it was made of.
    pub fn terms(&self) -> &State {
        &self.terms
    }

    /// Connects, if it has not begun to. Waits until that has come to something, though for no longer than a second.
    pub fn start(&self) {
        let Some((client, queue)) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let (told, first) = std::sync::mpsc::channel();
        let (health, timeout) = (self.health.clone(), self.terms.timeout);
        let started = std::thread::Builder::new()
            .name("limen-store".to_owned())
            .spawn(move || thread::run(&client, queue, &health, timeout, told));
        match started {
            Ok(_) => drop(first.recv_timeout(FIRST)),
            Err(error) => tracing::error!("the store can't be used, no thread for it: {error}"),
        }
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.health.is_up.load(Ordering::Relaxed)
    }

    /// How many times it was reached. With another connection it may be another server, or know something else.
    pub fn connections(&self) -> u64 {
        self.health.connections.load(Ordering::Relaxed)
    }

    /// Has one command done.
    pub async fn command(&self, command: Cmd) -> Result<Value, Gone> {
        self.ask(What::Command(command)).await
    }

    async fn ask(&self, what: What) -> Result<Value, Gone> {
        // The thread keeps the time.
        self.send(what, self.terms.timeout)?.await.unwrap_or(Err(Gone))
    }

    /// The same on a thread that may wait, of what takes longer than to count.
    fn ask_and_wait(&self, what: What) -> Result<Value, Gone> {
        self.send(what, self.terms.timeout * PATIENCE)?.blocking_recv().unwrap_or(Err(Gone))
    }

    fn send(&self, what: What, limit: Duration) -> Result<oneshot::Receiver<Result<Value, Gone>>, Gone> {
        if !self.is_up() {
            return Err(Gone);
        }
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { what, limit, answer }).map_err(|_| Gone)?;
        Ok(answered)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store does not answer")
    }
}

impl std::error::Error for Gone {}

/// What went wrong, without what was sent.
fn reason(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        kind => error.code().map_or_else(|| format!("{kind:?}"), str::to_owned),
    }
}
