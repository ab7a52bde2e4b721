//! Why a change of keys was not made, or keys can't be had, and what to do about it.

use std::fmt;

use limen_store::JournalError;

/// Why it was not done.
#[derive(Debug)]
pub enum KeyError {
    /// There is no such key.
    Unknown,
    /// What is asked for can't be.
    Invalid(String),
    /// It can't be done to a key that stands like this one.
    Conflict(String),
    Store(JournalError),
    /// The store that gateways share does not answer: nothing was changed.
    Away,
    /// It did not say whether it was changed.
    Unsure,
    /// It did not do it, and said why: nothing was changed.
    Refused(String),
    /// Gateways that share keys hash them with another pepper.
    OtherPepper,
    /// So many keys in force are hashed with another pepper.
    Strange(usize),
    /// The store has other keys than the ones that the file is a mirror of.
    OtherKeys,
    Machine(&'static str),
}

impl KeyError {
    /// What helps.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            KeyError::Unknown | KeyError::Invalid(_) | KeyError::Conflict(_) | KeyError::Machine(_) => {
                return None;
            }
            KeyError::Store(error) => return error.hint(),
            KeyError::Away => {
                "nothing was changed, and requests go on with the keys as they were seen last: try again when the \
                 server at `[store] url` answers"
            }
            KeyError::Unsure => "look at the key when the server at `[store] url` answers again",
            KeyError::Refused(_) => {
                "nothing was changed, and requests go on with the keys as they are: try again when the server at `[store] \
                 url` takes what is written"
            }
            KeyError::OtherPepper => {
                "`[store] pepper` has to be the same secret on all gateways that share keys; while it is replaced, all of \
                 them need both values, one as `previous`"
            }
            KeyError::Strange(_) => {
                "give the secret its former value as `previous`; keys that were made without a named `pepper` can't be \
                 shared: revoke them before, or name another `[store] file`"
            }
            KeyError::OtherKeys => {
                "name another `[store] file` to take the keys of the store; or another `[store] prefix`, for those of the \
                 file to be shared there"
            }
        };
        Some(hint.to_owned())
    }
}

impl From<JournalError> for KeyError {
    fn from(error: JournalError) -> Self {
        KeyError::Store(error)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Unknown => f.write_str("there is no such key"),
            KeyError::Invalid(what) | KeyError::Conflict(what) => f.write_str(what),
            KeyError::Store(error) => error.fmt(f),
            KeyError::Away => f.write_str("the store that gateways share does not answer"),
            KeyError::Unsure => {
                f.write_str("the store that gateways share did not say whether the change was made")
            }
            KeyError::Refused(why) => write!(f, "the store that gateways share refuses it: {why}"),
            KeyError::OtherPepper => f.write_str(
                "the keys in the store are hashed with another pepper than the one of this gateway",
            ),
            KeyError::Strange(count) => {
                write!(f, "{count} keys in the store were hashed with another pepper than this one")
            }
            KeyError::OtherKeys => {
                f.write_str("the store has other keys than those that this gateway's file is a mirror of")
            }
            KeyError::Machine(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for KeyError {}
