//! A CRC beside each body whose reader could not tell that it is torn (L16, I8).

use rusqlite::Row;
use rusqlite::types::Type;

pub fn of(body: &[u8]) -> i64 {
    i64::from(crc32fast::hash(body))
}

/// The body in column `column`, whose checksum is in the next one.
pub fn checked(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    let body: Vec<u8> = row.get(column)?;
    if of(&body) == row.get::<_, i64>(column + 1)? {
        return Ok(body);
    }
    let name = row.as_ref().column_name(column)?.to_owned();
    let text = format!("the checksum of a {name} of {} bytes does not match", body.len());
    Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, text.into()))
}
