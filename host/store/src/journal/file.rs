//! The file of a journal: ours alone, appended to, now and then written anew.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::recent::Recent;
use super::record::{self, HEADER};
use super::{Change, Changes, JournalError, Tables};

/// Records of a file that is written anew are about this large, in bytes.
const PORTION: usize = 1 << 20;

/// An open file, held against other processes. What it is told the kernel has at once, and the disk when what comes
/// back is [synced](Unsynced::sync).
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// Where the next record goes; none after a write that failed, when nobody knows what is on the disk.
    end: Option<(Arc<File>, u64)>,
    recent: Recent,
    /// What holds it is a file beside it: it is itself replaced when it is written anew.
    _lock: File,
}

/// What the kernel has, and the disk may not have yet.
#[must_use]
pub struct Unsynced {
    file: Arc<File>,
    path: PathBuf,
    /// How long the file was before it, where it was appended.
    before: Option<u64>,
}

/// A file that is to take the place of the one before it, and how long it is.
pub struct Whole {
    pub file: Unsynced,
    length: u64,
}

impl LogFile {
    /// Opens it, or makes it, and reads all that is in it. What was cut off at its end was never acknowledged.
    pub fn open(path: &Path) -> Result<(LogFile, Tables), JournalError> {
        let io = |doing| move |error| JournalError::Io { doing, path: path.to_owned(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("make the folder of"))?;
        }
        let lock = private().open(beside(path, "lock")).map_err(io("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Taken { path: path.to_owned() },
            TryLockError::Error(error) => io("lock")(error),
        })?;
        let file = private().open(path).map_err(io("open"))?;
        let about = file.metadata().map_err(io("open"))?;
        if !is_ours(&about) {
            return Err(JournalError::Open { path: path.to_owned() });
        }
        let bytes = Bytes::from(fs::read(path).map_err(io("read"))?);
        let recent = Recent::of(path);
        let mut log = LogFile { path: path.to_owned(), end: None, recent, _lock: lock };
        let mut tables = Tables::default();
        let good = log.replay(&bytes, &mut tables)?;
        if good == 0 {
            let whole = log.write_whole(&tables)?;
            whole.file.sync()?;
            log.replace(whole)?.sync()?;
        } else {
            if good < bytes.len() {
                let lost = bytes.len() - good;
                tracing::warn!(
                    "the store {} ends with {lost} bytes of a change that was never completed: they are dropped",
                    path.display()
                );
                file.set_len(good as u64).and_then(|()| file.sync_all()).map_err(io("mend the end of"))?;
            }
            log.end = Some((Arc::new(file), good as u64));
            log.take_up(&mut tables);
        }
        Ok((log, tables))
    }

    /// Takes up what a process noted last that was killed. That it can't be read, or be put on the disk, is no reason not
    /// to start.
    pub fn take_up(&mut self, tables: &mut Tables) {
        let path = self.path.display();
        let recent = match self.recent.read(self.length()) {
            Ok(recent) => recent.changes(),
            Err(error) => {
                tracing::warn!("what was noted last in the store {path} is lost, it can't be read: {error}");
                return;
            }
        };
        if recent.is_empty() {
            return;
        }
        if let Err(error) = self.append(&recent).and_then(|record| record.sync()) {
            tracing::warn!("what was noted last is in memory alone, and written anew later: {error}");
            self.give_up();
        }
        tables.apply(recent);
    }

    /// The same, of a file that another process is about to leave.
    pub fn open_soon(path: &Path, patience: Duration) -> Result<(LogFile, Tables), JournalError> {
        let begun = Instant::now();
        loop {
            match LogFile::open(path) {
                Err(JournalError::Taken { .. }) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => return opened,
            }
        }
    }

    /// How much of it is good.
    fn replay(&self, bytes: &Bytes, tables: &mut Tables) -> Result<usize, JournalError> {
        if bytes.len() < HEADER.len() && HEADER.starts_with(bytes) {
            return Ok(0); // it was about to become one
        }
        if !bytes.starts_with(HEADER) {
            return Err(JournalError::Foreign { path: self.path.clone() });
        }
        let mut at = HEADER.len();
        while let Some((changes, next)) = record::decode(bytes, at) {
            tables.apply(changes);
            at = next;
        }
        if record::is_any_behind(bytes, at) {
            return Err(JournalError::Damaged { path: self.path.clone(), at: at as u64 });
        }
        Ok(at)
    }

    /// Appends a record.
    pub fn append(&mut self, changes: &Changes) -> Result<Unsynced, JournalError> {
        let (file, at) =
            self.end.take().ok_or_else(|| self.failed(io::Error::other("it is to be written anew first")))?;
        let record = record::encode(changes, at).ok_or(JournalError::TooLarge)?;
        let appended = Unsynced { file: file.clone(), path: self.path.clone(), before: Some(at) };
        if let Err(error) = file.write_all_at(&record, at) {
            appended.undo();
            return Err(self.failed(error));
        }
        self.end = Some((file, at + record.len() as u64));
        self.recent.clear();
        Ok(appended)
    }

    /// After something that failed nobody knows what the disk has: the file has to be written anew.
    pub fn give_up(&mut self) {
        self.end = None;
    }

    pub fn is_given_up(&self) -> bool {
        self.end.is_none()
    }

    /// Lets the kernel have changes that are appended a little later.
    pub fn note(&mut self, changes: &Changes) {
        // Where nobody knows what is on the disk, all of it is written anew soon.
        let Some((_, end)) = self.end else { return };
        if let Err(error) = self.recent.append(changes, end) {
            tracing::debug!("could not write what is recent of the store {}: {error}", self.path.display());
        }
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.end.as_ref().map_or(0, |(_, end)| *end)
    }

    /// Writes what there is into a new file, which is beside it until it [takes its place](Self::replace).
    pub fn write_whole(&self, tables: &Tables) -> Result<Whole, JournalError> {
        let (file, length) = write_whole(&self.successor(), tables).map_err(|error| self.failed(error))?;
        let file = Unsynced { file: Arc::new(file), path: self.path.clone(), before: None };
        Ok(Whole { file, length })
    }

    /// This one has its name from now on; on the disk, when the folder is synced that comes back.
    pub fn replace(&mut self, whole: Whole) -> Result<Unsynced, JournalError> {
        self.give_up(); // should it fail, nobody knows which of the two files has the name
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::rename(self.successor(), &self.path)
            .and_then(|()| File::open(folder.unwrap_or(Path::new("."))))
            .map_err(|error| self.failed(error))?;
        self.end = Some((whole.file.file, whole.length));
        self.recent.clear();
        Ok(Unsynced { file: Arc::new(folder), path: self.path.clone(), before: None })
    }

    fn successor(&self) -> PathBuf {
        beside(&self.path, "new")
    }

    fn failed(&self, error: io::Error) -> JournalError {
        JournalError::Io { doing: "write", path: self.path.clone(), error }
    }

    #[cfg(test)]
    pub fn break_it(&mut self) {
        let read_only = File::open(&self.path).unwrap();
        self.end = Some((Arc::new(read_only), self.length()));
    }
}

impl Unsynced {
    /// Returns when the disk has it, which may take long.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_all().map_err(|error| {
            self.undo();
            JournalError::Io { doing: "write", path: self.path.clone(), error }
        })
    }

    /// The file should not grow by what was not acknowledged.
    fn undo(&self) {
        if let Some(before) = self.before {
            let _ = self.file.set_len(before);
        }
    }
}

fn write_whole(path: &Path, tables: &Tables) -> io::Result<(File, u64)> {
    let _ = fs::remove_file(path); // left by one that was interrupted, and with who knows what permissions
    let mut file = private().open(path)?;
    file.write_all(HEADER)?;
    let mut at = HEADER.len() as u64;
    let (mut portion, mut size) = (Changes::default(), 0);
    let mut flush = |portion: &mut Changes| -> io::Result<()> {
        let record = record::encode(portion, at).ok_or(io::ErrorKind::FileTooLarge)?;
        file.write_all(&record)?;
        at += record.len() as u64;
        portion.0.clear();
        Ok(())
    };
    for (table, key, value) in tables.all() {
        size += key.len() + value.len();
        portion.0.push(Change { table: table.clone(), key: key.clone(), value: Some(value.clone()) });
        if size > PORTION {
            flush(&mut portion)?;
            size = 0;
        }
    }
    if !portion.is_empty() {
        flush(&mut portion)?;
    }
    Ok((file, at))
}

/// Whether it is a file that nobody else can read.
pub fn is_ours(about: &Metadata) -> bool {
    about.is_file() && about.uid() == rustix::process::geteuid().as_raw() && about.mode() & 0o077 == 0
}

pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

pub fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}
