//! One error enum with stable codes. `python/infinity/errors.py` mirrors it; a test holds the two together.

use std::fmt;

/// What can go wrong inside the core. The code is part of the public contract; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A record or database could not be decoded (I8): never treated as empty.
    Damaged(String),
    /// Written by a newer version of Infinity.
    TooNew(String),
    /// The commit lost its claim: the stored version is not the one the slice loaded (I1).
    Conflict(String),
    /// The disk is full, read-only or failing; nothing was written.
    Storage(String),
    /// Another process holds the store.
    Locked(String),
    /// The caller broke a rule of the history (I4); a bug, never bad input.
    Rule(String),
    /// A configured limit was reached.
    Limit(String),
    /// No such thread.
    NotFound(String),
    /// The thread was deleted for good: its id is not used again.
    Deleted(String),
    /// The journal was closed.
    Closed(String),
    /// Content that a person sent and that no model could take; the text says what and where.
    BadRequest(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The stable code: what Python maps to a class.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Damaged(_) => "damaged",
            Error::TooNew(_) => "too_new",
            Error::Conflict(_) => "conflict",
            Error::Storage(_) => "storage",
            Error::Locked(_) => "locked",
            Error::Rule(_) => "rule",
            Error::Limit(_) => "limit",
            Error::NotFound(_) => "not_found",
            Error::Deleted(_) => "deleted",
            Error::Closed(_) => "closed",
            Error::BadRequest(_) => "bad_request",
        }
    }

    /// What happened, for people.
    pub fn text(&self) -> &str {
        match self {
            Error::Damaged(t)
            | Error::TooNew(t)
            | Error::Conflict(t)
            | Error::Storage(t)
            | Error::Locked(t)
            | Error::Rule(t)
            | Error::Limit(t)
            | Error::NotFound(t)
            | Error::Deleted(t)
            | Error::Closed(t)
            | Error::BadRequest(t) => t,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code(), self.text())
    }
}

impl std::error::Error for Error {}
