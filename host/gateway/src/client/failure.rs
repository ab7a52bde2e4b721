//! Why something could not be fetched, or made of what was.

use std::fmt;

/// For the operator: in words, without secrets.
#[derive(Clone, Debug)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
    /// It may work in a moment, with nothing changed here.
    pub may_pass: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, may_pass: false }
    }

    pub fn passing(message: impl Into<String>) -> Self {
        Failure { may_pass: true, ..Self::new(message) }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }
}
