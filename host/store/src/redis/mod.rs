//! A Redis or Valkey that gateways share.
//!
//! A thread of its own has the connection, and everybody sends it what is to be done and waits for the answer; so
//! what many ask at once goes out together. When the server fails (it is gone, or three answers in a row are not
//! there within the timeout) nobody waits for it any more: each job is refused at once, until the
//! thread has reached it again.

mod counts;
mod places;
mod quotas;
mod rates;
mod records;
mod thread;
mod values;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use limen_config::State;
use redis::{Client, Cmd, ErrorKind, RedisError, ScriptInvocation, Value};
use tokio::sync::{mpsc, oneshot};

use counts::Counts;
pub use counts::{BOUNDS, Reading, Use};
pub use places::{Entered, SharedPlace, SharedPlaces};
pub use quotas::QuotaTake;
pub use rates::SharedRates;
pub use records::{Head, Page, SharedRecords};
pub use values::SharedValues;

/// Jobs that wait for the thread; more are refused.
const QUEUE: usize = 16 << 10;
/// How many times the usual timeout is waited for an answer that a page of records is in.
const PATIENCE: u32 = 5;
/// How long a start waits for the first connection.
const FIRST: Duration = Duration::from_secs(1);

/// The way to the server.
pub struct Redis {
    jobs: mpsc::Sender<Job>,
    room: Arc<Room>,
    /// What the name of each key begins with.
    prefix: String,
    terms: State,
    /// What the thread begins with, until it does.
    idle: Mutex<Option<(Client, mpsc::Receiver<Job>)>>,
}

/// What the thread shares with everybody.
#[derive(Default)]
struct Room {
    /// Whether the server answers.
    is_up: AtomicBool,
    /// How many connections there were.
    connections: AtomicU64,
    counts: Counts,
    /// Who has something to do there beside requests.
    upkeep: Mutex<Vec<Weak<dyn Upkeep>>>,
}

/// Something to be done there again and again, as long as the server answers.
trait Upkeep: Send + Sync {
    /// `all`: the server answers again, and may have forgotten everything.
    fn tend(&self, all: bool);
}

/// It has not answered, or what it answered is no answer: nobody knows whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The same for who wants to know which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was never sent: the server is not reached, or too much waits for it.
    NotAsked,
    /// It was sent, and nobody knows whether it was done.
    Unknown,
    /// The server does not do it, and says why.
    Refused(String),
}

/// Something to be done there.
struct Job {
    of: Use,
    what: What,
    /// How long its answer may take.
    limit: Duration,
    since: Instant,
    /// None: nobody waits for it.
    answer: Option<oneshot::Sender<Result<Value, Trouble>>>,
}

/// A job that was sent.
struct Waiting {
    of: Use,
    since: Instant,
    answer: Option<oneshot::Sender<Result<Value, Trouble>>>,
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
            room: Arc::default(),
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
        let (room, timeout) = (self.room.clone(), self.terms.timeout);
        let started = std::thread::Builder::new()
            .name("limen-store".to_owned())
            .spawn(move || thread::run(&client, queue, &room, timeout, told));
        match started {
            Ok(_) => drop(first.recv_timeout(FIRST)),
            Err(error) => tracing::error!("the store can't be used, no thread for it: {error}"),
        }
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.room.is_up.load(Ordering::Relaxed)
    }

    /// How many times it was reached. With another connection it may be another server, or know something else.
    pub fn connections(&self) -> u64 {
        self.room.connections.load(Ordering::Relaxed)
    }

    /// What it was asked for so far, and what came of it; none of what it was never asked for.
    pub fn read(&self) -> impl Iterator<Item = (Use, Reading)> {
        let all = Use::ALL.into_iter().filter_map(|of| Some((of, self.room.counts.read(of)?)));
        all.filter(|(_, reading)| !reading.is_nothing())
    }

    async fn ask(&self, of: Use, what: What) -> Result<Value, Trouble> {
        let (answer, answered) = oneshot::channel();
        self.send(of, what, self.terms.timeout, Some(answer))?;
        // The thread keeps the time.
        answered.await.unwrap_or(Err(Trouble::NotAsked))
    }

    /// The same on a thread that may wait, of what takes longer than to count.
    fn ask_and_wait(&self, of: Use, what: What) -> Result<Value, Trouble> {
        let (answer, answered) = oneshot::channel();
        self.send(of, what, self.terms.timeout * PATIENCE, Some(answer))?;
        answered.blocking_recv().unwrap_or(Err(Trouble::Unknown))
    }

    /// Has something done, if the server answers; nobody waits for it.
    fn tell(&self, of: Use, what: What) {
        let _ = self.send(of, what, self.terms.timeout, None); // it is counted
    }

    fn send(
        &self,
        of: Use,
        what: What,
        limit: Duration,
        answer: Option<oneshot::Sender<Result<Value, Trouble>>>,
    ) -> Result<(), Trouble> {
        if !self.can_be_asked(of) {
            return Err(Trouble::NotAsked);
        }
        let job = Job { of, what, limit, since: Instant::now(), answer };
        self.jobs.try_send(job).map_err(|_| self.not_asked(of))
    }

    /// Whether it answers; that it was not asked is counted if it does not.
    fn can_be_asked(&self, of: Use) -> bool {
        self.is_up() || {
            self.not_asked(of);
            false
        }
    }

    fn not_asked(&self, of: Use) -> Trouble {
        self.room.counts.note(of, &Err(Trouble::NotAsked), Duration::ZERO);
        Trouble::NotAsked
    }

    fn look_after(&self, upkeep: &Arc<dyn Upkeep>) {
        self.room.upkeep.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(upkeep));
    }
}

impl Room {
    fn tend(&self, all: bool) {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        upkeep.retain(|it| it.upgrade().inspect(|it| it.tend(all)).is_some());
    }

    /// What came of a job.
    fn settle(&self, job: Waiting, came: Result<Value, Trouble>) {
        self.counts.note(job.of, &came, job.since.elapsed());
        if let Some(answer) = job.answer {
            let _ = answer.send(came); // who asked may be gone
        }
    }
}

impl From<Trouble> for Gone {
    fn from(_: Trouble) -> Self {
        Gone
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
