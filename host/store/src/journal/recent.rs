//! What was changed a moment ago, and is not yet on the disk: the kernel has it, so that it outlives the process, though
//! not the machine. It goes on where the journal's own file ends, in a file of its own: that one is never written to but
//! in order, and a crash of the machine can damage nothing there that was acknowledged.
//!
//! A record says by its checksum how long the journal was when it was written: what is of before is none.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::file::{beside, is_ours, private};
use super::record;
use super::{Changes, Pending};

#[derive(Debug)]
pub struct Recent {
    path: PathBuf,
    /// Opened when there is something to be written, and how long it is.
    file: Option<(File, u64)>,
}

impl Recent {
    /// Of the journal in this file.
    pub fn of(journal: &Path) -> Self {
        Recent { path: beside(journal, "recent"), file: None }
    }

    /// What is there of a journal that has so many bytes.
    pub fn read(&self, end: u64) -> io::Result<Pending> {
        if !fs::exists(&self.path)? {
            return Ok(Pending::default());
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        let (mut pending, mut at) = (Pending::default(), 0);
        while let Some((changes, next)) = record::decode_behind(end, &bytes, at) {
            pending.add(changes);
            at = next;
        }
        Ok(pending)
    }

    /// Writes what was changed when the journal had so many bytes.
    pub fn append(&mut self, changes: &Changes, end: u64) -> io::Result<()> {
        let (file, at) = match self.file {
            Some(ref mut open) => open,
            None => {
                // Left by a process that was killed, and with who knows what permissions: what was good of it is in the
                // journal by now.
                let _ = fs::remove_file(&self.path);
                self.file.insert((self.open()?, 0))
            }
        };
        let record = record::encode(changes, end + *at).ok_or(ErrorKind::FileTooLarge)?;
        file.write_all_at(&record, *at)?;
        *at += record.len() as u64;
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let file = private().open(&self.path)?;
        match is_ours(&file.metadata()?) {
            true => Ok(file),
            false => Err(io::Error::other(format!("{} is open to others", self.path.display()))),
        }
    }

    /// All of it is in the journal.
    pub fn clear(&mut self) {
        self.file = self.file.take().and_then(|(file, _)| file.set_len(0).ok().map(|()| (file, 0)));
        if self.file.is_none() {
            let _ = fs::remove_file(&self.path); // if it stays, it is of before
        }
    }
}
