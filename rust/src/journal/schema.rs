//! The tables. Threads have a small integer key inside; a thread's entries and feed are keyed `thread << 32 | position`, so that
//! one range scan reads them and an append touches the end of a range (I10).
//!
//! Bodies whose reader cannot tell a torn one carry a CRC beside them; entries, calls and headers carry theirs inside the record.

/// `Infy`: marks the file as ours.
pub const APPLICATION_ID: i32 = 0x496e_6679;
/// Raised by every change of the tables below; migrations go from one to the next.
pub const VERSION: i32 = 1;

pub const PAGE_SIZE: i32 = 4096;

/// Positions of a thread stay below this.
pub const POSITIONS: i64 = 1 << 32;

/// Where a thread's entry or feed row lives.
pub fn place(thread: i64, position: i64) -> i64 {
    thread * POSITIONS + position
}

/// The position that a place means.
pub fn position(place: i64) -> i64 {
    place % POSITIONS
}

/// Tables that only grow: their rows are counted as they come, because counting them later means reading them all.
pub const TALLIED: [&str; 4] = ["threads", "entries", "seen", "discards"];

/// In the order of creation, which fixes their root pages: a repair relies on it.
pub const TABLES: &str = "
CREATE TABLE meta (
  key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (
  name TEXT PRIMARY KEY, rows INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE threads (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, parent TEXT, status TEXT NOT NULL, title TEXT NOT NULL,
  version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, header BLOB NOT NULL
) STRICT;
CREATE INDEX threads_by_update ON threads (updated_at, id);
CREATE INDEX threads_by_status ON threads (status, updated_at, id);
CREATE INDEX threads_by_root ON threads (root);
CREATE INDEX threads_by_parent ON threads (parent) WHERE parent IS NOT NULL;
CREATE TABLE entries (
  place INTEGER PRIMARY KEY, record BLOB NOT NULL
) STRICT;
CREATE TABLE calls (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, thread INTEGER NOT NULL, state TEXT NOT NULL, subscription INTEGER NOT NULL,
  live INTEGER NOT NULL, tool TEXT NOT NULL, record BLOB NOT NULL
) STRICT;
CREATE INDEX calls_by_thread ON calls (thread, live);
CREATE TABLE inbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, thread INTEGER NOT NULL, digest BLOB NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
  body BLOB NOT NULL, crc INTEGER NOT NULL, accepted_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX inbox_by_id ON inbox (thread, digest);
CREATE TABLE seen (
  thread INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (thread, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
  row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, thread INTEGER NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, body BLOB NOT NULL,
  crc INTEGER NOT NULL, call TEXT, attempts INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE timers (
  thread INTEGER NOT NULL, id TEXT NOT NULL, due_at INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (thread, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (due_at);
CREATE TABLE prompts (
  thread INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (thread, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE views (
  thread INTEGER NOT NULL, view_type TEXT NOT NULL, content BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (thread, view_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE discards (
  key INTEGER PRIMARY KEY, thread INTEGER NOT NULL, digest BLOB NOT NULL, message TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX discards_by_thread ON discards (thread, digest);
CREATE TABLE feed (
  place INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE spending (
  root TEXT PRIMARY KEY, tokens INTEGER NOT NULL, cost INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE retired (
  root TEXT PRIMARY KEY, note TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";
