//! The file of a journal: ours alone, appended to, now and then written anew.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::recent::Recent;
use super::record::{self, HEADER};
use super::{Change, Changes, JournalError, Pending, Tables};

/// Records of a file that is written anew are about this large, in bytes.
const PORTION: usize = 1 << 20;

/// An open file, held against other processes.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// Where the next record goes; none after a write that failed, when nobody knows what is on the disk.
    end: Option<(File, u64)>,
    recent: Recent,
    /// What holds it is a file beside it: it is itself replaced when it is written anew.
    _lock: File,
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
            log.rewrite(&tables)?;
        } else {
            if good < bytes.len() {
                let lost = bytes.len() - good;
                tracing::warn!(
                    "the store {} ends with {lost} bytes of a change that was never completed: they are dropped",
                    path.display()
                );
                file.set_len(good as u64).and_then(|()| file.sync_all()).map_err(io("mend the end of"))?;
            }
            log.end = Some((file, good as u64));
            let Pending(recent) = log.recent.read(good as u64).map_err(io("read what is recent of"))?;
            if !recent.is_empty() {
                let recent = Pending(recent).changes();
                log.append(&recent, &tables)?;
                tables.apply(recent);
            }
        }
        Ok((log, tables))
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

    /// Appends a record, and returns when the disk has it. `tables` are without these changes yet.
    pub fn append(&mut self, changes: &Changes, tables: &Tables) -> Result<(), JournalError> {
        if self.end.is_none() {
            self.rewrite(tables)?;
        }
        let Some((mut file, at)) = self.end.take() else { return Err(JournalError::TooLarge) };
        let record = record::encode(changes, at).ok_or(JournalError::TooLarge);
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                self.end = Some((file, at));
                return Err(error);
            }
        };
        match write_at_end(&mut file, at, &record) {
            Ok(()) => {
                self.end = Some((file, at + record.len() as u64));
                self.recent.clear();
                Ok(())
            }
            Err(error) => {
                // After a failed fsync nobody knows what the disk has: the next change begins with a file
                // that is written anew. Until then this one should not grow by what was not acknowledged.
                let _ = file.set_len(at).and_then(|()| file.sync_all());
                Err(self.failed("write", error))
            }
        }
    }

    /// Lets the kernel have changes that are appended a little later.
    pub fn note(&mut self, changes: &Changes) {
        // Where nobody knows what is on the disk, all of it is written anew with the next append.
        let Some((_, end)) = self.end else { return };
        if let Err(error) = self.recent.append(changes, end) {
            tracing::debug!("could not write what is recent of the store {}: {error}", self.path.display());
        }
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.end.as_ref().map_or(0, |(_, end)| *end)
    }

    /// Writes what there is into a new file, which takes this one's place.
    pub fn rewrite(&mut self, tables: &Tables) -> Result<(), JournalError> {
        self.end = None; // should it fail, nobody knows which of the two files has the name
        let new = beside(&self.path, "new");
        let written = write_whole(&new, tables).and_then(|file| {
            fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file)
        });
        self.end = Some(written.map_err(|error| self.failed("write", error))?);
        Ok(())
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> JournalError {
        JournalError::Io { doing, path: self.path.clone(), error }
    }

    #[cfg(test)]
    pub fn break_it(&mut self) {
        let read_only = File::open(&self.path).unwrap();
        self.end = Some((read_only, self.length()));
    }
}

fn write_at_end(file: &mut File, at: u64, record: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(record, at)?;
    file.sync_data()
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
    file.sync_all()?;
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
