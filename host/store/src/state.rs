//! Where this process keeps what outlives it: opened when somebody first needs it, and then the same over
//! all reloads.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Journal, JournalError};

/// The one journal of a process.
#[derive(Debug)]
pub struct StateFile {
    opened: Mutex<Option<(PathBuf, Arc<Journal>)>>,
    /// A configuration that is only tried leaves alone what a gateway has.
    is_tried: bool,
}

impl StateFile {
    /// Of a process that serves.
    pub fn serving() -> Arc<Self> {
        Arc::new(StateFile { opened: Mutex::default(), is_tried: false })
    }

    /// Of one that only looks whether it could: nothing is read, and nothing is kept.
    pub fn tried() -> Arc<Self> {
        Arc::new(StateFile { opened: Mutex::default(), is_tried: true })
    }

    /// Whether a configuration is only tried: then nobody else is asked either.
    pub fn is_tried(&self) -> bool {
        self.is_tried
    }

    /// The journal in the file that `[store]` names, or in the usual place.
    pub fn journal(&self, terms: &limen_config::State) -> Result<Arc<Journal>, JournalError> {
        let path = match &terms.file {
            Some(file) => file.clone(),
            None if self.is_tried => PathBuf::new(),
            None => usual().ok_or(JournalError::Homeless)?,
        };
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, journal)) = &*opened {
            let is_same = self.is_tried || *known == path;
            return if is_same {
                Ok(journal.clone())
            } else {
                Err(JournalError::Moved { from: known.clone() })
            };
        }
        let journal = if self.is_tried { Journal::nowhere() } else { Journal::open(&path)? };
        let (_, journal) = opened.insert((path, Arc::new(journal)));
        Ok(journal.clone())
    }

    /// The journal, if anybody has asked for it.
    pub fn opened(&self) -> Option<Arc<Journal>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().map(|(_, journal)| journal.clone())
    }

    /// Lets a process that takes over have the file: from now on nothing changes, until
    /// [`StateFile::take_back`].
    pub fn hand_over(&self) {
        if let Some((_, journal)) = &*self.opened.lock().unwrap_or_else(PoisonError::into_inner) {
            journal.hand_over();
        }
    }

    /// The other process failed.
    pub fn take_back(&self) {
        if let Some((_, journal)) = &*self.opened.lock().unwrap_or_else(PoisonError::into_inner)
            && let Err(error) = journal.take_back()
        {
            tracing::error!("{error}");
        }
    }
}

fn usual() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("STATE_DIRECTORY")
        .or_else(|| Some(folder("XDG_STATE_HOME")?.join("limen")))
        .or_else(|| Some(folder("HOME")?.join(".local/state/limen")));
    folder.map(|folder| folder.join("state.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(file: PathBuf) -> limen_config::State {
        limen_config::State { file: Some(file), ..limen_config::State::default() }
    }

    #[test]
    fn it_is_opened_once_and_does_not_move() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (terms(folder.path().join("one")), terms(folder.path().join("other")));
        let state = StateFile::serving();
        let journal = state.journal(&one).unwrap();
        assert!(Arc::ptr_eq(&journal, &state.journal(&one).unwrap()));
        assert!(matches!(state.journal(&other), Err(JournalError::Moved { .. })));

        let tried = StateFile::tried();
        tried.journal(&one).unwrap();
        tried.journal(&other).unwrap();
        assert!(!folder.path().join("other").exists(), "who only looks makes none");
    }
}
