//! Why a hook did not come to a decision: the policy failed, or the client's input is bad.

use std::fmt;

use crate::Reply;

/// What every method of a policy returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The end of a hook through `?`.
///
/// Any [`std::error::Error`] becomes one, and means that the policy failed: its text goes to the
/// gateway's log, never to the client, and the attachment's `on_error` decides what happens. One made
/// by [`OrReply::or_reply`] is instead an answer to the client.
pub struct Error(Box<Kind>);

enum Kind {
    Failure(String),
    Answer(Reply),
}

impl Error {
    /// The policy failed, for this reason.
    pub fn msg(reason: impl fmt::Display) -> Self {
        Error(Box::new(Kind::Failure(reason.to_string())))
    }

    /// Not a failure: end the hook with this answer.
    pub fn reply(reply: impl Into<Reply>) -> Self {
        Error(Box::new(Kind::Answer(reply.into())))
    }

    /// The answer, or the reason of the failure.
    pub(crate) fn into_answer(self) -> std::result::Result<Reply, String> {
        match *self.0 {
            Kind::Answer(reply) => Ok(reply),
            Kind::Failure(reason) => Err(reason),
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason.push_str(": ");
            reason.push_str(&cause.to_string());
            source = cause.source();
        }
        Error(Box::new(Kind::Failure(reason)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Failure(reason) => f.write_str(reason),
            Kind::Answer(reply) => write!(f, "answered with {}", reply.status()),
        }
    }
}

// As `Display`, so that `unwrap` and `main` show the reason and not a tree of structs.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Turn bad input of the client into an answer, where a plain `?` means that the policy failed.
pub trait OrReply<T> {
    /// `value.or_reply(400)?`: end the hook with this answer unless there is a value. A status alone
    /// answers with `application/problem+json`; a [`Reply`] can say more. The error is not shown to
    /// the client.
    fn or_reply(self, reply: impl Into<Reply>) -> Result<T>;
}

impl<T, E> OrReply<T> for std::result::Result<T, E> {
    fn or_reply(self, reply: impl Into<Reply>) -> Result<T> {
        self.map_err(|_| Error::reply(reply))
    }
}

impl<T> OrReply<T> for Option<T> {
    fn or_reply(self, reply: impl Into<Reply>) -> Result<T> {
        self.ok_or_else(|| Error::reply(reply))
    }
}

/// Say what was being done when it failed.
pub trait Context<T> {
    /// `value.context("reading the table")?`: the reason becomes "reading the table: ...". An answer
    /// made by [`OrReply::or_reply`] stays as it is.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| match error.into().into_answer() {
            Ok(reply) => Error::reply(reply),
            Err(reason) => Error::msg(format_args!("{what}: {reason}")),
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::msg(what))
    }
}

/// End the hook (or `configure`) with a failure: `bail!("no table for {region}")`.
#[macro_export]
macro_rules! bail {
    ($($reason:tt)+) => {
        return ::core::result::Result::Err($crate::Error::msg(::core::format_args!($($reason)+)))
    };
}

/// [`bail!`] unless the condition holds: `ensure!(!keys.is_empty(), "no keys")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            $crate::bail!($($reason)+);
        }
    };
}
