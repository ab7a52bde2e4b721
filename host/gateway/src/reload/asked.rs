//! Who asks for a reload, and who waits for what becomes of it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Outcome;
use crate::observe::audit::Who;
use crate::progress::{Progress, Step};

/// Why the configuration is looked at again.
pub enum Ask {
    /// Something in a watched folder changed; whether it concerns us is looked up.
    FilesChanged,
    /// The operator asked for it, and may wait for what becomes of it.
    Reload(Who, Option<Waiter>),
}

/// Somebody who waits.
pub struct Waiter {
    pub steps: mpsc::Sender<Step>,
    pub done: oneshot::Sender<Arc<Outcome>>,
}

/// What is asked for at one moment.
#[derive(Default)]
pub struct Asked {
    /// Whether the files have changed or not.
    is_due: bool,
    /// Who asked first; nobody but the files, if they changed.
    by: Option<Who>,
    waiting: Vec<Waiter>,
}

impl Asked {
    pub fn add(&mut self, ask: Ask) {
        if let Ask::Reload(who, waiter) = ask {
            self.is_due = true;
            self.by.get_or_insert(who);
            self.waiting.extend(waiter);
        }
    }

    /// This one waits for it, too. Others asked for it.
    pub fn join(&mut self, waiter: Option<Waiter>) {
        self.waiting.extend(waiter);
    }

    /// It was given up, and is done again with what was asked for later.
    pub fn again(mut self, later: Asked) -> Asked {
        self.waiting.extend(later.waiting);
        Asked { is_due: true, by: self.by.or(later.by), waiting: self.waiting }
    }

    pub fn is_due(&self) -> bool {
        self.is_due
    }

    pub fn by(&self) -> &Who {
        self.by.as_ref().unwrap_or(&Who::Files)
    }

    /// Who waits is told of it.
    pub fn follow(&self, progress: &Progress) {
        self.waiting.iter().for_each(|waiter| progress.tell_also(waiter.steps.clone()));
    }

    pub fn answer(self, outcome: &Arc<Outcome>) {
        for waiter in self.waiting {
            let _ = waiter.done.send(outcome.clone()); // who asked may have gone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_due_and_whoever_joins_it_is_not_its_author() {
        let mut asked = Asked::default();
        asked.add(Ask::FilesChanged);
        assert!(!asked.is_due(), "whether it concerns us is not known yet");
        let (steps, done) = (mpsc::channel(1).0, oneshot::channel().0);
        asked.join(Some(Waiter { steps, done }));
        let asked = asked.again(Asked::default());
        assert!(asked.is_due() && asked.waiting.len() == 1);
        assert!(matches!(asked.by(), Who::Files));
        let mut later = Asked::default();
        later.add(Ask::Reload(Who::Signal, None));
        later.add(Ask::Reload(Who::Start, None));
        assert!(matches!(asked.again(later).by(), Who::Signal));
    }
}
