//! A CRC beside each body whose reader could not tell that it is torn (L16, I8). It covers what else of the row somebody goes by: a message
//! under another id would be another message.
//!
//! Bits 0 to 31 are the CRC. Bit 32 says that it covers the row; without it, it is of an earlier version and covers the body alone. The bits
//! from 33 on cover the columns that change later: a statement that changes them exchanges these bits without reading the row.

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

const ROW: i64 = 1 << 32;
/// What stays when columns change that may.
pub const STAYS: i64 = (1 << 33) - 1;
const STATE: u32 = 33;
/// Of the bits of a state.
pub const STATE_BITS: i64 = (1 << 30) - 1;

pub fn of(body: &[u8]) -> i64 {
    i64::from(crc32fast::hash(body))
}

/// Columns that a table's checksum covers with the body, in this order, behind the id of the thread where the row has one.
pub fn covered(table: &str) -> Option<&'static [&'static str]> {
    Some(match table {
        "inbox" => &["id", "kind", "accepted_at"],
        "outbox" => &["key", "kind", "target", "call"],
        "timers" => &["id", "kind", "due_at"],
        "prompts" => &["id", "kind"],
        "views" => &["view_type"],
        "feed" => &["kind"],
        "generations" => &["root", "number"],
        _ => return None,
    })
}

/// Of a new row: its thread, its covered columns, its body.
pub fn of_row(parts: &[ValueRef<'_>]) -> i64 {
    ROW | crc(parts)
}

fn crc(parts: &[ValueRef<'_>]) -> i64 {
    let mut hash = crc32fast::Hasher::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update(&[kind]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for value in parts {
        match value {
            ValueRef::Null => part(0, &[]),
            ValueRef::Integer(number) => part(1, &number.to_le_bytes()),
            ValueRef::Real(number) => part(2, &number.to_le_bytes()),
            ValueRef::Text(bytes) => part(3, bytes),
            ValueRef::Blob(bytes) => part(4, bytes),
        }
    }
    i64::from(hash.finalize())
}

pub fn optional(text: Option<&str>) -> ValueRef<'_> {
    text.map_or(ValueRef::Null, ValueRef::from)
}

/// The bits of a message that waits for the end of a call, or is kept for its subscription.
pub fn waiting(call: Option<&str>, kept: Option<i64>) -> i64 {
    match (call, kept) {
        (None, None) => 0,
        (call, kept) => {
            let kept = kept.map_or(ValueRef::Null, ValueRef::Integer);
            (crc(&[optional(call), kept]) & STATE_BITS) << STATE
        }
    }
}

/// What the number of attempts is added to, before the sum is taken as the bits of an outgoing row.
pub fn due(at: i64) -> i64 {
    if at == 0 { 0 } else { crc(&[ValueRef::Integer(at)]) & STATE_BITS }
}

fn state<'v>(table: &str, value: impl Fn(&str) -> ValueRef<'v>) -> i64 {
    let number = |column: &str| value(column).as_i64_or_null().ok().flatten();
    match table {
        "inbox" => waiting(value("call").as_str_or_null().ok().flatten(), number("kept")),
        "outbox" => {
            let (attempts, at) = (number("attempts").unwrap_or(0), number("due_at").unwrap_or(0));
            (due(at).wrapping_add(attempts) & STATE_BITS) << STATE
        }
        _ => 0,
    }
}

/// What stands beside a row of `table` that is written now; `whose`: its thread.
pub fn over<'v>(table: &str, whose: Option<&'v str>, body: &'v [u8], value: impl Fn(&str) -> ValueRef<'v>) -> i64 {
    let Some(columns) = covered(table) else { return of(body) };
    let mut parts: Vec<ValueRef<'_>> = whose.into_iter().map(ValueRef::from).collect();
    parts.extend(columns.iter().map(|column| value(column)));
    parts.push(ValueRef::Blob(body));
    of_row(&parts) | state(table, value)
}

/// Does it cover the body alone?
pub fn is_narrow(crc: i64) -> bool {
    crc & ROW == 0
}

/// Is a row what was written? A row of an earlier version says nothing of its other columns.
pub fn matches<'v>(
    table: &str,
    whose: Option<&'v str>,
    body: &'v [u8],
    crc: i64,
    value: impl Fn(&str) -> ValueRef<'v>,
) -> bool {
    if is_narrow(crc) {
        let changed = crc & !STAYS;
        return crc & STAYS == of(body) && (changed == 0 || changed == state(table, value));
    }
    crc == over(table, whose, body, value)
}

/// The body in column `column`, whose checksum is in the next one.
pub fn checked(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    let body: Vec<u8> = row.get(column)?;
    if of(&body) == row.get::<_, i64>(column + 1)? { Ok(body) } else { Err(torn(row, column, body.len())) }
}

/// The same of a row of `table`, of which all columns that the checksum covers were selected under their names, and the id of its thread as
/// `whose`.
pub fn checked_row(row: &Row<'_>, table: &str, column: usize) -> rusqlite::Result<Vec<u8>> {
    let body: Vec<u8> = row.get(column)?;
    let value = |name: &str| {
        let at = row.as_ref().column_index(name);
        at.and_then(|at| row.get_ref(at)).unwrap_or(ValueRef::Null)
    };
    let whose = value("whose").as_str_or_null().ok().flatten();
    let whole = matches(table, whose, &body, row.get(column + 1)?, value);
    if whole { Ok(body) } else { Err(torn(row, column, body.len())) }
}

fn torn(row: &Row<'_>, column: usize, length: usize) -> rusqlite::Error {
    let name = row.as_ref().column_name(column).unwrap_or("body");
    let text = format!("the checksum of a {name} of {length} bytes does not match");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, text.into())
}
