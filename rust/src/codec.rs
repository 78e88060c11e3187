//! State ⇄ bytes. Every record is `kind · format version · payload · crc32`; the envelope never changes, the payload may.
//!
//! Nothing here panics on any input, and nothing that cannot be read becomes a default (I8): it is [`Error::Damaged`], or
//! [`Error::TooNew`] when a newer Infinity wrote it. Reading allocates no more than the record is long.

use crate::error::{Error, Result};

/// The newest payload format that this version reads and the one that it writes.
pub const FORMAT: u8 = 1;

const TRAILER: usize = 4;

/// What a record holds: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Header = b'H',
    Entry = b'E',
    Call = b'C',
    Dedup = b'D',
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Header => "thread header",
            Kind::Entry => "entry",
            Kind::Call => "call",
            Kind::Dedup => "dedup set",
        }
    }
}

/// Begin a record; [`Writer::seal`] ends it.
pub fn begin(kind: Kind) -> Writer {
    Writer { bytes: vec![kind as u8, FORMAT] }
}

/// Check the envelope of a record and read its payload.
///
/// # Errors
/// `Damaged` for a wrong kind, length or checksum; `TooNew` for a newer format.
pub fn open(kind: Kind, record: &[u8]) -> Result<Reader<'_>> {
    let damaged = |what: String| Error::Damaged(format!("{} record: {what}", kind.name()));
    let [first, version, ..] = record else {
        return Err(damaged(format!("only {} bytes long", record.len())));
    };
    if *first != kind as u8 {
        return Err(damaged(format!("it starts with byte {first:#04x}")));
    }
    let Some((body, trailer)) = record.split_last_chunk::<TRAILER>() else {
        return Err(damaged(format!("only {} bytes long", record.len())));
    };
    if body.len() < 2 || crc32fast::hash(body) != u32::from_le_bytes(*trailer) {
        return Err(damaged(format!("the checksum of its {} bytes does not match", record.len())));
    }
    match *version {
        1..=FORMAT => Ok(Reader { kind, rest: &body[2..], length: body.len() }),
        0 => Err(damaged("format version 0 does not exist".into())),
        newer => Err(Error::TooNew(format!(
            "{} record: format {newer}, but this Infinity reads up to {FORMAT}; install the version that wrote it, or a newer one",
            kind.name()
        ))),
    }
}

/// Builds the payload of a record.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    /// LEB128: seven bits a byte, lowest first.
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag, so that small negative numbers stay short.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.unsigned(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Bytes without a length before them: only where the reader knows it.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.unsigned(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    /// The finished record.
    pub fn seal(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.bytes
    }
}

/// Reads the payload of a record, never past its end.
#[derive(Debug)]
pub struct Reader<'a> {
    kind: Kind,
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    /// The error for a payload that decodes but cannot be right.
    pub fn damaged(&self, what: &str) -> Error {
        let at = self.length - self.rest.len();
        Error::Damaged(format!("{} record, byte {at}: {what}", self.kind.name()))
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1, "a byte")?[0])
    }

    pub fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(&format!("a flag is {other}"))),
        }
    }

    pub fn unsigned(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number is too long"))
    }

    pub fn signed(&mut self) -> Result<i64> {
        let value = self.unsigned()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    /// A number that must not be negative: positions, versions, counts.
    pub fn natural(&mut self) -> Result<i64> {
        let value = self.unsigned()?;
        i64::try_from(value).map_err(|_| self.damaged("a number is too large"))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length("a byte string")?;
        self.take(length, "a byte string")
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    pub fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        // Every item takes at least one byte, so a count beyond the rest is damage, found before anything is allocated for it.
        let count = self.length("a list")?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// All that is left.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// How far into the record the next byte lies.
    pub fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The payload must have been read to its end.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.damaged(&format!("{} bytes too many", self.rest.len())))
    }

    fn length(&mut self, what: &str) -> Result<usize> {
        let value = self.unsigned()?;
        match usize::try_from(value) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            _ => Err(self.damaged(&format!("{what} of length {value} does not fit"))),
        }
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.damaged(&format!("{what} is cut off")));
        };
        self.rest = rest;
        Ok(taken)
    }
}
