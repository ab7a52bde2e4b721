//! What goes on while a configuration is loaded, told to those who wait for it; and whether it is still wanted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use limen_config::Reference;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

/// Steps that are kept for somebody who waits and reads slowly. What is more, that one is not told.
const KEPT: usize = 64;

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// A component comes from a registry. How large it is, its manifest says.
    Downloading {
        plugin: String,
        from: String,
        received: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    Compiling {
        plugin: String,
    },
    /// With the settings of a route.
    Configuring {
        plugin: String,
        route: String,
    },
    /// The files have changed meanwhile: it is done again, with what they say now.
    Again,
}

/// One load.
#[derive(Default)]
pub struct Progress {
    heard: Mutex<Heard>,
    superseded: watch::Sender<bool>,
    has_got: AtomicBool,
}

#[derive(Default)]
struct Heard {
    by: Vec<mpsc::Sender<Step>>,
    last: Option<Step>,
}

/// A newer configuration is wanted in place of this one.
#[derive(Debug)]
pub struct Superseded;

/// For somebody who waits: what is told, and where to read it.
pub fn listening() -> (mpsc::Sender<Step>, mpsc::Receiver<Step>) {
    mpsc::channel(KEPT)
}

impl Step {
    pub fn downloading(plugin: &str, from: &Reference, received: u64, size: Option<u64>) -> Step {
        Step::Downloading { plugin: plugin.to_owned(), from: from.to_string(), received, size }
    }
}

impl Progress {
    /// From now on this one is told, too, and first what is being done now.
    pub fn tell_also(&self, listener: mpsc::Sender<Step>) {
        let mut heard = self.heard();
        if let Some(last) = &heard.last {
            let _ = listener.try_send(last.clone());
        }
        heard.by.push(listener);
    }

    /// Waits for nobody.
    pub fn tell(&self, step: Step) {
        let mut heard = self.heard();
        for listener in &heard.by {
            let _ = listener.try_send(step.clone()); // who has gone, or reads slowly
        }
        heard.last = Some(step);
    }

    /// All components have come, or never will: what is done from now on was not asked for later.
    pub fn has_got(&self) {
        self.has_got.store(true, Ordering::Release);
    }

    /// Whether it still gets components: whoever asks for the same may wait for this one.
    pub fn is_getting(&self) -> bool {
        !self.has_got.load(Ordering::Acquire)
    }

    /// It is to be given up before the next thing that takes long, or where it waits for others.
    pub fn supersede(&self) {
        self.superseded.send_replace(true);
    }

    /// To be asked before each thing that takes long.
    pub fn go_on(&self) -> Result<(), Superseded> {
        if *self.superseded.borrow() { Err(Superseded) } else { Ok(()) }
    }

    /// Returns once it is.
    pub async fn superseded(&self) -> Superseded {
        // The sender is here.
        let _ = self.superseded.subscribe().wait_for(|is_superseded| *is_superseded).await;
        Superseded
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiling(plugin: &str) -> Step {
        Step::Compiling { plugin: plugin.to_owned() }
    }

    #[test]
    fn who_does_not_read_is_not_waited_for_and_who_comes_late_knows_where_it_is() {
        let progress = Progress::default();
        progress.tell(compiling("before"));
        let (slow, mut unread) = listening();
        progress.tell_also(slow);
        for number in 0..KEPT + 5 {
            progress.tell(compiling(&number.to_string()));
        }
        let read: Vec<_> = std::iter::from_fn(|| unread.try_recv().ok()).collect();
        assert_eq!((read.len(), &read[0], &read[1]), (KEPT, &compiling("before"), &compiling("0")));
    }

    #[test]
    fn steps_are_written_with_their_name() {
        let step =
            Step::Downloading { plugin: "a".to_owned(), from: "b".to_owned(), received: 1, size: None };
        let written = serde_json::to_string(&step).unwrap();
        assert_eq!(written, r#"{"step":"downloading","plugin":"a","from":"b","received":1}"#);
        assert_eq!(serde_json::to_string(&Step::Again).unwrap(), r#"{"step":"again"}"#);
    }
}
