//! The tables. Threads have a small integer key inside; a thread's entries and feed are keyed `thread << 32 | position`, so that
//! one range scan reads them and an append touches the end of a range (I10).
//!
//! Bodies whose reader cannot tell a torn one carry a CRC beside them; entries, calls and headers carry theirs inside the record.

/// `Infy`: marks the file as ours.
pub const APPLICATION_ID: i32 = 0x496e_6679;
/// Of the tables that this version of Infinity reads and writes: the first ones, and every step since.
pub const VERSION: i32 = 1 + STEPS.len() as i32;

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

/// From one version of the tables to the next. Steps are only ever appended: every journal, new ones too, goes through all of them in this
/// order, so that a migrated journal and a new one have the same definitions.
pub struct Step {
    /// Definitions: `CREATE`, `ALTER TABLE … ADD COLUMN`.
    pub tables: &'static str,
    /// What rows that an earlier version wrote lack. Also for rows that come from an older export or out of a repair: it changes no row
    /// that has what it needs, and may run any number of times.
    pub rows: &'static str,
}

/// `STEPS[n]` goes from version `n + 1` to the next.
pub const STEPS: [Step; 9] = [
    // 2: failed attempts, kept events, endings by call id.
    Step {
        tables: "
CREATE TABLE attempts (
  thread INTEGER PRIMARY KEY, count INTEGER NOT NULL, code TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE inbox ADD COLUMN call TEXT;
ALTER TABLE inbox ADD COLUMN kept INTEGER;
CREATE INDEX inbox_early ON inbox (thread, call) WHERE call IS NOT NULL;
ALTER TABLE prompts ADD COLUMN root TEXT;
CREATE INDEX prompts_by_root ON prompts (root);
CREATE INDEX outbox_choices ON outbox (call) WHERE kind = 'choice';
CREATE INDEX threads_living ON threads (parent) WHERE parent IS NOT NULL AND status <> 'closed';
",
        rows: "
UPDATE prompts SET root = (SELECT root FROM threads WHERE threads.key = prompts.thread) WHERE root IS NULL;
",
    },
    // 3: what was deleted, and what may be because it has been closed for long.
    Step {
        tables: "
CREATE TABLE tombstones (
  id TEXT PRIMARY KEY, root TEXT NOT NULL, at INTEGER NOT NULL, discarded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_closed_roots ON threads (updated_at, id) WHERE parent IS NULL AND status = 'closed';
",
        rows: "",
    },
    // 4: how often a tree has left, and whether what rests here is what left as a file.
    Step {
        tables: "
CREATE TABLE generations (
  root TEXT PRIMARY KEY, number INTEGER NOT NULL, marks BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE retired ADD COLUMN departed INTEGER;
",
        rows: "
UPDATE retired SET departed = 1 WHERE departed IS NULL AND note LIKE 'it was exported to a file%';
",
    },
    // 5: which threads rest with a problem, and how many of a tree live. What an earlier version wrote did not say the first, and is looked at
    // until its next commit says it.
    Step {
        tables: "
ALTER TABLE threads ADD COLUMN troubled INTEGER;
CREATE INDEX threads_troubled ON threads (updated_at, id) WHERE troubled = 1;
CREATE INDEX threads_troubled_by_root ON threads (root, updated_at, id) WHERE troubled = 1;
CREATE INDEX threads_living_by_root ON threads (root) WHERE parent IS NOT NULL AND status <> 'closed';
",
        rows: "
UPDATE threads SET troubled = (status <> 'closed') WHERE troubled IS NULL;
",
    },
    // 6: checksums cover rows, not bodies alone. The tables are the same; an earlier version would take the new checksums for damage.
    Step { tables: "", rows: "" },
    // 7: whom a person is waited for by: threads that ask something, or rest with a problem that only a person ends. Which problems do, their
    // headers say: `attention::settle` fills it.
    Step {
        tables: "
CREATE TABLE attention (
  thread INTEGER NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (thread, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX attention_by_since ON attention (since);
",
        rows: "",
    },
    // 8: commits that added to streams, in their order.
    Step {
        tables: "
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, thread INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, at INTEGER NOT NULL
) STRICT;
",
        rows: "",
    },
    // 9: what completions have used. What an earlier version recorded of it is in the tree's `spending` alone.
    Step {
        tables: "
CREATE TABLE usage (
  day INTEGER NOT NULL, thread INTEGER NOT NULL, model TEXT NOT NULL, turns INTEGER NOT NULL, input INTEGER NOT NULL,
  output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, cost INTEGER NOT NULL,
  PRIMARY KEY (day, thread, model)
) STRICT, WITHOUT ROWID;
",
        rows: "",
    },
    // 10: when calls were sent and ended, in how many tries, and why the last one failed. Of what an earlier version wrote nothing is known: 0.
    Step {
        tables: "
ALTER TABLE calls ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN trouble TEXT NOT NULL DEFAULT '';
",
        rows: "",
    },
];

/// The first version whose rows say who needs a person.
pub const ATTENTION: i32 = 7;

/// The definitions of one version.
pub fn tables(version: i32) -> String {
    let steps = usize::try_from(version - 1).unwrap_or(0);
    STEPS.iter().take(steps).fold(TABLES.to_owned(), |all, step| all + step.tables)
}

/// What rows that `version` wrote lack in the tables of this one.
pub fn fill(version: i32) -> String {
    let written = usize::try_from(version - 1).unwrap_or(0);
    STEPS.iter().skip(written).map(|step| step.rows).collect()
}

/// Version 1, as 0.1.0 wrote it; never changed. In the order of creation.
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
