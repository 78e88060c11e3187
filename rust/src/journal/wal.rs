//! The write-ahead log, read before SQLite reads it (L21). SQLite takes a log that is broken for a shorter one, or for none.
//!
//! Pure: it reads bytes and says what they are. The format is SQLite's: a header of 32 bytes, then frames of a page each, every one with
//! the salts of its header and a checksum over all that is before it. What an earlier round of the log left stays behind the newer frames;
//! its first salt is smaller.

use super::schema::PAGE_SIZE;
use std::collections::HashSet;
use std::io::{self, Read};

pub const HEADER: usize = 32;
const FRAME: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
/// By how much the first salt of a log may be ahead of one that it has written over.
const ROUNDS: u32 = 1 << 16;

pub type Pair = [u32; 2];

/// One page of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub page: u32,
    /// Pages of the database after the transaction that this frame ends; 0 if it ends none.
    pub size: u32,
    pub salts: Pair,
    /// Its salts and its checksum follow from the frame before it, for the first one from the header.
    pub linked: bool,
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Of its header; `None` if the header is broken.
    pub salts: Option<Pair>,
    pub page_size: usize,
    pub frames: Vec<Frame>,
}

/// How much was committed, as the index of the log (`-shm`) says. It survives the end of a process, and is never ahead of the log on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    pub frames: usize,
    salts: Pair,
}

impl Log {
    /// # Errors
    /// Those of the reader. No bytes are an error.
    pub fn read(mut from: impl Read) -> io::Result<Self> {
        let mut header = [0; HEADER];
        if fill(&mut from, &mut header)? < HEADER {
            return Ok(Self { salts: None, page_size: PAGE_SIZE as usize, frames: Vec::new() });
        }
        let whole = Header::parse(&header);
        let page_size = whole.map_or(PAGE_SIZE as usize, |header| header.page_size);
        // Written by this kind of machine, if nothing says otherwise.
        let order = whole.map_or(Order::native(), |header| header.order);
        let (mut salts, mut sum) = whole.map_or((None, None), |header| (Some(header.salts), Some(header.sum)));
        let mut frames = Vec::new();
        let mut bytes = vec![0; FRAME + page_size];
        while fill(&mut from, &mut bytes)? == bytes.len() {
            let (head, page) = bytes.split_at(FRAME);
            let found = [word(head, 8), word(head, 12)];
            let stored = [word(head, 16), word(head, 20)];
            let follows = sum.is_some_and(|sum| order.sum(order.sum(sum, &head[..8]), page) == stored);
            let linked = follows && salts == Some(found) && word(head, 0) != 0;
            frames.push(Frame { page: word(head, 0), size: word(head, 4), salts: found, linked });
            (salts, sum) = (Some(found), Some(stored));
        }
        Ok(Self { salts: whole.map(|header| header.salts), page_size, frames })
    }

    /// How many frames SQLite will take: up to the last one that ends a transaction, before the first one that is broken.
    pub fn committed(&self) -> usize {
        let intact = self.intact();
        self.frames[..intact].iter().rposition(|frame| frame.size != 0).map_or(0, |last| last + 1)
    }

    fn intact(&self) -> usize {
        match self.salts {
            Some(_) => self.frames.iter().position(|frame| !frame.linked).unwrap_or(self.frames.len()),
            None => 0,
        }
    }

    /// What is wrong with it, if its header is whole. Behind the first broken frame there may be one transaction: the last one, whose
    /// frames a power cut lets reach the disk in any order. Its author never heard that it was durable, or it cannot be told.
    pub fn damage(&self, index: Option<Index>) -> Option<String> {
        let salts = self.salts?;
        let (intact, committed) = (self.intact(), self.committed());
        if let Some(index) = index.filter(|index| index.salts == salts && index.frames > committed) {
            let behind = index.frames - committed;
            return Some(format!(
                "its write-ahead log is whole up to frame {committed} only, and {behind} more were committed"
            ));
        }
        let broken = self.frames.get(intact)?;
        // A header is on the disk before the first frame behind it.
        let later = |frame: &Frame| frame.salts == broken.salts && frame.size != 0;
        if intact == 0 && newer(broken.salts, salts) && self.frames.iter().any(later) {
            return Some("the header of its write-ahead log is older than the transactions behind it".into());
        }
        self.torn(salts, intact, committed)
    }

    /// Why what stands behind the last whole transaction is not what a power cut may leave of one. The salts of a frame are in one sector: they
    /// are of this round, or whatever was there before.
    fn torn(&self, salts: Pair, intact: usize, committed: usize) -> Option<String> {
        let last = self.frames.iter().rposition(|frame| frame.salts == salts && frame.size != 0)?;
        let behind = self.frames.get(committed..=last)?;
        let mine = || behind.iter().filter(|frame| frame.salts == salts);
        let transactions = mine().filter(|frame| frame.size != 0).count();
        if transactions > 1 {
            return Some(format!(
                "frame {intact} of its write-ahead log is broken, and at least {transactions} transactions stand from there on"
            ));
        }
        // The frame that ended one of them may be gone. A transaction writes a page once, but for the frame that ends it.
        let mut pages = HashSet::new();
        if !mine().filter(|frame| frame.size == 0).all(|frame| pages.insert(frame.page)) {
            return Some(format!(
                "frame {intact} of its write-ahead log is broken, and more than one transaction stands around it"
            ));
        }
        let before = |frame: &Frame| frame.salts == salts || frame.salts == [0; 2] || newer(salts, frame.salts);
        let foreign = behind.iter().position(|frame| !before(frame))?;
        Some(format!("frame {} of its write-ahead log holds what no transaction has written", committed + foreign))
    }

    /// Without a header: how many frames at the front are those of one round, up to the end of its last transaction. `None` if that cannot
    /// be told.
    pub fn headless(&self) -> Option<usize> {
        let Some(first) = self.frames.first() else { return Some(0) };
        let rest = &self.frames[1..];
        let front = 1 + rest.iter().take_while(|frame| frame.linked && frame.salts == first.salts).count();
        let next = self.frames.get(front);
        if front == 1 && next.is_some_and(|next| !newer(first.salts, next.salts)) {
            return None;
        }
        if self.frames[front..].iter().any(|frame| frame.linked && frame.salts == first.salts && frame.size != 0) {
            return None;
        }
        let last = self.frames[..front].iter().rposition(|frame| frame.size != 0);
        Some(last.map_or(1, |last| last + 1))
    }
}

impl Log {
    /// Up to the last whole frame that ends a transaction of the current round, however many are broken before it.
    pub fn last_of_round(&self) -> Option<usize> {
        let salts = self.salts.or_else(|| self.frames.iter().find(|frame| frame.linked).map(|frame| frame.salts))?;
        let ends = |frame: &Frame| frame.linked && frame.salts == salts && frame.size != 0;
        self.frames.iter().rposition(ends).map(|last| last + 1)
    }
}

impl Index {
    /// `None`: there is none, or it is not whole, and says nothing.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        const LENGTH: usize = 48;
        let (one, two) = (bytes.get(..LENGTH)?, bytes.get(LENGTH..2 * LENGTH)?);
        let native = |at: usize| u32::from_ne_bytes([one[at], one[at + 1], one[at + 2], one[at + 3]]);
        let whole = one == two
            && native(0) == VERSION
            && one[12] == 1
            && Order::native().sum([0; 2], &one[..40]) == [native(40), native(44)];
        // The salts are there as they are in the log.
        whole.then(|| Self { frames: native(16) as usize, salts: [word(one, 32), word(one, 36)] })
    }
}

/// Of a log that was begun after the other.
fn newer(one: Pair, other: Pair) -> bool {
    (1..=ROUNDS).contains(&one[0].wrapping_sub(other[0]))
}

#[derive(Debug, Clone, Copy)]
struct Header {
    order: Order,
    page_size: usize,
    salts: Pair,
    sum: Pair,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let magic = word(bytes, 0);
        let order = if magic & 1 == 1 { Order::Big } else { Order::Little };
        let sum = order.sum([0; 2], &bytes[..24]);
        let size = word(bytes, 8);
        let whole = magic & !1 == MAGIC
            && word(bytes, 4) == VERSION
            && size.is_power_of_two()
            && (512..=65_536).contains(&size)
            && sum == [word(bytes, 24), word(bytes, 28)];
        let salts = [word(bytes, 16), word(bytes, 20)];
        whole.then_some(Self { order, page_size: size as usize, salts, sum })
    }
}

/// How checksums read their words; everything else is big-endian.
#[derive(Debug, Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn native() -> Self {
        if cfg!(target_endian = "big") { Order::Big } else { Order::Little }
    }

    fn sum(self, from: Pair, bytes: &[u8]) -> Pair {
        let words = bytes.as_chunks::<8>().0;
        let word = |bytes: [u8; 4]| match self {
            Order::Big => u32::from_be_bytes(bytes),
            Order::Little => u32::from_le_bytes(bytes),
        };
        words.iter().fold(from, |[mut one, mut two], [a, b, c, d, e, f, g, h]| {
            one = one.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(two);
            two = two.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(one);
            [one, two]
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// As many bytes as there are, up to the buffer's length.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = PAGE_SIZE as usize;

    /// A log whose frames are of the given salts and sizes.
    fn log(order: Order, salts: Pair, frames: &[(Pair, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |words: &[u32]| words.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        put(&[MAGIC | u32::from(matches!(order, Order::Big)), VERSION, SIZE as u32, 0, salts[0], salts[1]]);
        let mut sum = order.sum([0; 2], &bytes);
        sum.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        for (number, (salts, size)) in (1u32..).zip(frames) {
            let head = [number.to_be_bytes(), size.to_be_bytes()].concat();
            let page = vec![number as u8; SIZE];
            sum = order.sum(order.sum(sum, &head), &page);
            bytes.extend(head);
            [*salts, sum].as_flattened().iter().for_each(|word| bytes.extend(word.to_be_bytes()));
            bytes.extend(page);
        }
        bytes
    }

    #[test]
    fn both_orders_of_bytes_are_read() {
        for order in [Order::Big, Order::Little] {
            let read = Log::read(&*log(order, [7, 8], &[([7, 8], 0), ([7, 8], 2), ([7, 8], 0)])).unwrap();
            assert_eq!((read.salts, read.page_size, read.frames.len()), (Some([7, 8]), SIZE, 3));
            assert!(read.frames.iter().all(|frame| frame.linked));
            assert_eq!((read.committed(), read.damage(None)), (2, None));
        }
    }

    #[test]
    fn a_frame_that_names_no_page_ends_what_is_taken() {
        let mut bytes = log(Order::native(), [7, 8], &[([7, 8], 1), ([7, 8], 2)]);
        bytes[HEADER..HEADER + 4].fill(0);
        assert_eq!(Log::read(&*bytes).unwrap().committed(), 0);
    }

    #[test]
    fn an_index_counts_for_its_own_round_only() {
        let read = Log::read(&*log(Order::native(), [7, 8], &[([7, 8], 1), ([7, 8], 0)])).unwrap();
        let index = |frames, salts| Some(Index { frames, salts });
        assert!(read.damage(index(2, [7, 8])).is_some());
        assert_eq!(read.damage(index(1, [7, 8])), None);
        assert_eq!(read.damage(index(9, [6, 8])), None);
    }

    #[test]
    fn two_transactions_are_not_taken_for_one_whose_frames_came_in_any_order() {
        let ([new, old], end) = ([[7, 8], [6, 3]], 9);
        // Pages are numbered, so that each frame has one of its own.
        let told = |frames: &[(Pair, u32)], spoil: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = log(Order::native(), new, frames);
            spoil(&mut bytes);
            Log::read(&*bytes).unwrap().damage(None)
        };
        let at = |frame: usize| HEADER + frame * (FRAME + SIZE);
        let torn = [(new, end), (new, 0), (new, 0), (new, end)];
        for salts in [[0; 2], old] {
            let bytes = [salts[0].to_be_bytes(), salts[1].to_be_bytes()].concat();
            let spoil = |log: &mut Vec<u8>| log[at(1) + 8..at(1) + 16].copy_from_slice(&bytes);
            assert_eq!(told(&torn, &spoil), None, "what was there before");
        }
        let noise = told(&torn, &|log| log[at(1)..at(2)].fill(0xa5));
        assert!(noise.unwrap().contains("no transaction has written"));
        let page = told(&torn, &|log| log[at(2) + 3] = 2);
        assert!(page.unwrap().contains("more than one transaction"), "a page stands there twice");
        let same = told(&torn, &|log| log[at(3) + 3] = 2);
        assert_eq!(
            same, None,
            "a transaction that did not fit into memory ends with a page that it has written before"
        );
        let unlinked = [(new, end), (new, 0), (new, end), (new, end)];
        let two = told(&unlinked, &|log| log[at(1) + 8..at(2) + 4].fill(0));
        assert!(two.unwrap().contains("at least 2 transactions"), "the one behind does not follow from anything");
    }

    #[test]
    fn without_a_header_a_single_frame_is_believed_before_older_ones_only() {
        let mut bytes = log(Order::native(), [7, 8], &[([7, 8], 1), ([6, 3], 2), ([6, 3], 3)]);
        bytes[0] = 0;
        assert_eq!(Log::read(&*bytes).unwrap().headless(), Some(1));
        let mut bytes = log(Order::native(), [7, 8], &[([0, 0], 1), ([7, 8], 2), ([7, 8], 3)]);
        bytes[0] = 0;
        assert_eq!(Log::read(&*bytes).unwrap().headless(), None);
    }
}
