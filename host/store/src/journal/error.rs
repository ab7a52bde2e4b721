//! What goes wrong with the file, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why it could not be opened or written.
#[derive(Debug)]
pub enum JournalError {
    /// The system does not let us.
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    /// Another process has it open.
    Taken { path: PathBuf },
    /// There is no usual place for it.
    Homeless,
    /// The configuration names another file than the one that is open.
    Moved { from: PathBuf },
    /// It is somebody else's, or others can read it.
    Open { path: PathBuf },
    /// It is something else.
    Foreign { path: PathBuf },
    /// There are whole records behind what can't be read: this is not how a write ends that was cut off.
    Damaged { path: PathBuf, at: u64 },
    /// A change that is too large to be written at once.
    TooLarge,
    /// Another process is taking over.
    HandedOver,
}

impl JournalError {
    /// What helps.
    pub fn hint(&self) -> Option<String> {
        match self {
            JournalError::Io { .. } | JournalError::TooLarge => None,
            JournalError::Taken { .. } => Some(
                "one process holds it: stop the other one, or give this one a `[store] file` of its own"
                    .into(),
            ),
            JournalError::Homeless => Some("name one in `[store] file`".into()),
            JournalError::Moved { .. } => Some("start the gateway anew for that".into()),
            JournalError::Open { path } => Some(format!(
                "give it to the gateway's user alone: chown it, and chmod 600 {}",
                path.display()
            )),
            JournalError::Foreign { .. } => Some("name another file in `[store] file`".into()),
            JournalError::Damaged { path, at } => Some(format!(
                "put a copy from before in its place; or keep what was written before the damage and lose what \
                 came after it, revocations among that: truncate --size={at} {}",
                path.display()
            )),
            JournalError::HandedOver => {
                Some("ask again in a moment: the process that takes over has it".into())
            }
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Io { doing, path, error } => {
                write!(f, "could not {doing} the store {}: {error}", path.display())
            }
            JournalError::Taken { path } => {
                write!(f, "another process has the store open: {}", path.display())
            }
            JournalError::Homeless => {
                f.write_str("no place for the store: there is neither $STATE_DIRECTORY nor $HOME")
            }
            JournalError::Moved { from } => {
                write!(f, "the store can't move while the gateway runs: it is in {}", from.display())
            }
            JournalError::Open { path } => {
                write!(f, "the store is open to others, or belongs to another user: {}", path.display())
            }
            JournalError::Foreign { path } => write!(f, "not a store of this gateway: {}", path.display()),
            JournalError::Damaged { path, at } => {
                write!(f, "the store is damaged at byte {at}, and goes on behind that: {}", path.display())
            }
            JournalError::TooLarge => f.write_str("the change is too large for the store"),
            JournalError::HandedOver => f.write_str("the store is with the process that takes over"),
        }
    }
}

impl std::error::Error for JournalError {}
