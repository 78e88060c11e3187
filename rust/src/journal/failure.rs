//! SQLite's errors in the words of the core. A refusal leaves the group alone; anything else may have left half of an operation behind.

use crate::error::Error;
use rusqlite::ErrorCode;
use std::path::Path;

/// Why an operation did not happen.
#[derive(Debug)]
pub enum Failure {
    /// Found out before anything was written.
    Refused(Error),
    /// Found out while writing: the transaction must go.
    Broken(Cause),
}

#[derive(Debug)]
pub enum Cause {
    Core(Error),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Broken(Cause::Sqlite(error))
    }
}

impl Failure {
    pub fn broken(error: Error) -> Self {
        Failure::Broken(Cause::Core(error))
    }

    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Failure::Refused(error) | Failure::Broken(Cause::Core(error)) => error,
            Failure::Broken(Cause::Sqlite(error)) => describe(path, &error),
        }
    }
}

/// What happened to which journal, and what to do now.
pub fn describe(path: &Path, error: &rusqlite::Error) -> Error {
    let name = path.display();
    if is_damage(error) {
        return damaged(path, &error.to_string());
    }
    let Some(code) = error.sqlite_error_code() else {
        return Error::Storage(format!("the journal {name} failed: {error}"));
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::Locked(format!("another program holds the journal {name} ({error}); close it and try again"))
        }
        ErrorCode::ConstraintViolation => Error::Rule(format!("the journal {name} refused a write: {error}")),
        ErrorCode::DiskFull => {
            Error::Storage(format!("no space left for the journal {name} ({error}); free some, then try again"))
        }
        ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::CannotOpen
        | ErrorCode::AuthorizationForStatementDenied => Error::Storage(format!(
            "the journal {name} cannot be written ({error}); check the permissions of the file and its directory"
        )),
        ErrorCode::SystemIoFailure => Error::Storage(format!(
            "reading or writing the journal {name} failed ({error}); check the disk, then try again"
        )),
        _ => Error::Storage(format!("the journal {name} failed: {error}")),
    }
}

/// Said of what was read, not of the reading.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // A column does not hold what its table declares.
        None => matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        ),
    }
}

pub fn damaged(path: &Path, what: &str) -> Error {
    let name = path.display();
    Error::Damaged(format!(
        "the journal {name} is damaged ({what}); keep a copy, then salvage it with `infinity doctor --repair`"
    ))
}
