//! Lines on their way out. Whoever writes one never waits for a disk, a terminal or a pipe: it puts the
//! line on a shelf of its own, and a thread carries off what is on the shelves. A shelf that is full takes
//! no more; what it did not take is counted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use limen_config::LogOutput;

/// What one shelf holds: a worker that writes 200 bytes for each of 50,000 requests per second fills it in
/// a tenth of a second, if nobody empties it.
const SHELF: usize = 1 << 20;
/// Between two rounds while there are lines: so many are written at a time.
const PAUSE: Duration = Duration::from_millis(5);
/// Drops and failures are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A place where lines go, and the thread that brings them there. The thread ends, when all is written,
/// after the last of these is dropped.
pub struct Output {
    inner: Arc<Inner>,
    thread: Thread,
}

struct Inner {
    to: LogOutput,
    shelves: Mutex<Vec<Arc<Shelf>>>,
    /// The thread waits to be woken.
    asleep: AtomicBool,
    reopen: AtomicBool,
    closing: AtomicBool,
    /// Lines that were taken from a shelf and could not be written.
    lost: AtomicU64,
    /// Those of shelves that are gone.
    dropped_before: AtomicU64,
    rounds: Mutex<u64>,
    round: Condvar,
}

/// Where one thread puts its lines. Only it and the output's thread look at it.
#[derive(Default)]
struct Shelf {
    lines: Mutex<Vec<u8>>,
    dropped: AtomicU64,
}

/// The right to put lines on a shelf.
pub struct Writer {
    shelf: Arc<Shelf>,
    output: Arc<Output>,
}

/// All outputs there are, to be found again by a reload and by metrics.
static OUTPUTS: Mutex<BTreeMap<LogOutput, Weak<Output>>> = Mutex::new(BTreeMap::new());

/// Makes files be opened anew: what had their name may have been moved away.
pub fn reopen() {
    for output in outputs() {
        output.inner.reopen.store(true, Relaxed);
        output.thread.unpark();
    }
}

/// Waits until all lines are out, or this time is over.
pub fn flush(limit: Duration) {
    let until = Instant::now() + limit;
    outputs().iter().for_each(|output| output.flush(until));
}

/// How many lines each output has dropped.
pub fn dropped() -> Vec<(LogOutput, u64)> {
    outputs().iter().map(|output| (output.inner.to.clone(), output.inner.dropped())).collect()
}

fn outputs() -> Vec<Arc<Output>> {
    lock(&OUTPUTS).values().filter_map(Weak::upgrade).collect()
}

impl Output {
    /// The output to this place: the one there is, or a new one.
    pub fn open(to: &LogOutput) -> io::Result<Arc<Output>> {
        let mut outputs = lock(&OUTPUTS);
        if let Some(output) = outputs.get(to).and_then(Weak::upgrade) {
            return Ok(output);
        }
        let file = open(to)?;
        let inner = Arc::new(Inner {
            to: to.clone(),
            shelves: Mutex::default(),
            asleep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            dropped_before: AtomicU64::new(0),
            rounds: Mutex::new(0),
            round: Condvar::new(),
        });
        let carrier = Carrier { inner: inner.clone(), file, told: 0, told_at: None, failure: None };
        let thread = thread::Builder::new().name("limen-log".to_owned()).spawn(move || carrier.run())?;
        let output = Arc::new(Output { inner, thread: thread.thread().clone() });
        outputs.retain(|_, output| output.strong_count() > 0);
        outputs.insert(to.clone(), Arc::downgrade(&output));
        Ok(output)
    }

    /// A shelf for one more thread.
    pub fn writer(self: &Arc<Self>) -> Writer {
        let shelf = Arc::new(Shelf::default());
        lock(&self.inner.shelves).push(shelf.clone());
        Writer { shelf, output: self.clone() }
    }

    fn flush(&self, until: Instant) {
        let mut rounds = lock(&self.inner.rounds);
        // The round that is under way may have been at our shelf already.
        let wanted = *rounds + 2;
        while *rounds < wanted {
            let now = Instant::now();
            if now >= until {
                return;
            }
            self.thread.unpark();
            let wait = PAUSE.min(until - now);
            (rounds, _) = self.inner.round.wait_timeout(rounds, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.inner.closing.store(true, Relaxed);
        self.thread.unpark();
    }
}

impl Writer {
    /// Puts a line on the shelf: `write` appends it.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = lock(&self.shelf.lines);
        if lines.len() >= SHELF {
            self.shelf.dropped.fetch_add(1, Relaxed);
            return;
        }
        write(&mut lines);
        drop(lines);
        // The thread has looked at the shelf after it said that it sleeps: one of us sees the other.
        if self.output.inner.asleep.load(Relaxed) && self.output.inner.asleep.swap(false, Relaxed) {
            self.output.thread.unpark();
        }
    }
}

impl Inner {
    fn dropped(&self) -> u64 {
        let on_shelves: u64 = lock(&self.shelves).iter().map(|shelf| shelf.dropped.load(Relaxed)).sum();
        on_shelves + self.dropped_before.load(Relaxed) + self.lost.load(Relaxed)
    }

    /// Moves all lines there are to `batch`. Shelves that nobody uses any more are thrown away.
    fn empty(&self, batch: &mut Vec<u8>) {
        lock(&self.shelves).retain(|shelf| {
            let mut lines = lock(&shelf.lines);
            batch.extend_from_slice(&lines);
            lines.clear();
            // One flood is not to be remembered for ever.
            lines.shrink_to(SHELF / 16);
            let in_use = Arc::strong_count(shelf) > 1;
            if !in_use {
                self.dropped_before.fetch_add(shelf.dropped.load(Relaxed), Relaxed);
            }
            in_use
        });
    }
}

/// What the thread knows.
struct Carrier {
    inner: Arc<Inner>,
    file: File,
    /// So many drops have been told, and when.
    told: u64,
    told_at: Option<Instant>,
    failure: Option<io::Error>,
}

impl Carrier {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            if self.inner.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            let closing = self.inner.closing.load(Relaxed);
            self.inner.empty(&mut batch);
            let found = !batch.is_empty();
            if found {
                self.write(&batch);
                batch.clear();
                batch.shrink_to(SHELF);
            }
            *lock(&self.inner.rounds) += 1;
            self.inner.round.notify_all();
            let told = self.tell();
            if found || told {
                thread::park_timeout(PAUSE);
            } else if closing {
                return;
            } else if self.inner.asleep.swap(true, Relaxed) {
                // Nothing has come since it was said that we sleep.
                let untold = self.inner.dropped() > self.told || self.failure.is_some();
                if untold {
                    thread::park_timeout(TELL_EVERY)
                } else {
                    thread::park()
                }
                self.inner.asleep.store(false, Relaxed);
            }
        }
    }

    fn write(&mut self, batch: &[u8]) {
        let mut rest = batch;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else has set the terminal or pipe that we share so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                error => {
                    let lost = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.inner.lost.fetch_add(lost, Relaxed);
                    self.failure = Some(error.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    return;
                }
            }
        }
    }

    /// Says that lines are missing; whether it has.
    fn tell(&mut self) -> bool {
        let dropped = self.inner.dropped();
        if dropped == self.told || self.told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return false;
        }
        let (lines, output) = (dropped - self.told, name(&self.inner.to));
        self.told = dropped;
        self.told_at = Some(Instant::now());
        match self.failure.take() {
            // To say that the log can't be written in the log that can't be written would go on for ever.
            Some(_) if self.inner.to == LogOutput::Stderr => return false,
            Some(error) => tracing::error!(dropped = lines, output, "can't write lines of the log: {error}"),
            None => tracing::warn!(dropped = lines, output, "lines of the log were dropped: it is too slow"),
        }
        self.inner.to == LogOutput::Stderr
    }

    fn reopen(&mut self) {
        if !matches!(self.inner.to, LogOutput::File(_)) {
            return;
        }
        match open(&self.inner.to) {
            Ok(file) => self.file = file,
            Err(error) => {
                tracing::error!(
                    output = name(&self.inner.to),
                    "can't open it anew, the old one is kept: {error}"
                );
            }
        }
    }
}

/// What an output is called in the log and in metrics.
pub fn name(to: &LogOutput) -> String {
    match to {
        LogOutput::Stderr => "stderr".to_owned(),
        LogOutput::Stdout => "stdout".to_owned(),
        LogOutput::File(path) => path.display().to_string(),
    }
}

fn open(to: &LogOutput) -> io::Result<File> {
    match to {
        // Not through the standard library's own handles: their locks are held while they write, and a
        // panic elsewhere would wait for them.
        LogOutput::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        LogOutput::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        LogOutput::File(path) => open_file(path),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    // Asked before it is opened: opening a pipe would wait for someone to read.
    if let Ok(found) = std::fs::metadata(path)
        && !found.is_file()
        && !found.file_type().is_char_device()
    {
        return Err(io::Error::other("it is not a regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks but, at worst, a line.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
