//! How the phases of a message ended.

use std::fmt::Debug;

use super::Response;
use crate::Level;

/// How the phases of a request or of a response ended.
#[derive(Clone, Debug)]
pub struct Outcome<Message> {
    /// What the policy decided.
    pub verdict: Verdict<Message>,
    /// Whether it asked for the body.
    pub buffered: bool,
    /// Whether it asked for the body piece by piece. The body of the message is what it let go on.
    pub streamed: bool,
    /// What it wrote to the log.
    pub log: Vec<Line>,
}

/// What a policy decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<Message> {
    /// Carry on, with the message as it is now.
    Next(Message),
    /// The client gets this.
    Reply(Response),
    /// The policy failed, for this reason: the attachment's `on_error` would decide.
    Fail(String),
}

/// A line that the policy wrote to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its severity.
    pub level: Level,
    /// Its text.
    pub message: String,
}

impl<Message: Debug> Outcome<Message> {
    /// The message as it goes on. Panics unless the policy let it.
    #[track_caller]
    pub fn next(self) -> Message {
        match self.verdict {
            Verdict::Next(message) => message,
            other => panic!("expected that the policy carries on, but it ended with {other:?}"),
        }
    }

    /// The policy's own answer. Panics unless it gave one.
    #[track_caller]
    pub fn reply(self) -> Response {
        match self.verdict {
            Verdict::Reply(response) => response,
            other => panic!("expected a reply of the policy, but it ended with {other:?}"),
        }
    }

    /// Why the policy failed. Panics unless it did.
    #[track_caller]
    pub fn failure(self) -> String {
        match self.verdict {
            Verdict::Fail(reason) => reason,
            other => panic!("expected that the policy fails, but it ended with {other:?}"),
        }
    }
}
