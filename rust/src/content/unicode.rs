//! JSON with halves of characters. A lone half of a surrogate pair can be written in JSON (`"\ud83d"`) and held by some languages'
//! strings, but it is not a character: decoders refuse the whole document, and model APIs refuse the request.

use memchr::memchr2;
use std::borrow::Cow;

const REPLACEMENT_ESCAPE: &[u8] = br"\ufffd";
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The same JSON with U+FFFD for each lone half, whether it is escaped or encoded as if it were a character; halves that belong
/// together are joined. Borrowed if there is none. Anything else that is wrong with the bytes stays as it is.
pub fn repaired(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr2(b'\\', 0xed, &json[at..]) {
        at += found;
        let (length, replacement) = match half_at(&json[at..]) {
            Half::None(length) => (length, None),
            Half::Pair(length, pair) => (length, pair),
            Half::Lone(length, replacement) => (length, Some(replacement.to_vec())),
        };
        if let Some(replacement) = replacement {
            out.extend_from_slice(&json[copied..at]);
            out.extend_from_slice(&replacement);
            copied = at + length;
        }
        at += length;
        if at >= json.len() {
            break;
        }
    }
    if copied == 0 {
        return json.into();
    }
    out.extend_from_slice(&json[copied..]);
    out.into()
}

enum Half {
    /// No half; how far to go on.
    None(usize),
    /// Two halves of one character, in place of which this is written if they are not fine as they are.
    Pair(usize, Option<Vec<u8>>),
    Lone(usize, &'static [u8]),
}

fn half_at(json: &[u8]) -> Half {
    let Some((first, length)) = unit(json) else {
        // An escaped quote or backslash is skipped whole, so that its second byte begins nothing.
        return Half::None(if json[0] == b'\\' { 2.min(json.len()) } else { 1 });
    };
    if !(0xd800..0xe000).contains(&first) {
        return Half::None(length);
    }
    if first < 0xdc00
        && let Some((second, more)) = unit(&json[length..])
        && (0xdc00..0xe000).contains(&second)
    {
        let escaped = json[0] == b'\\' && json[length] == b'\\';
        return Half::Pair(length + more, (!escaped).then(|| joined(first, second)));
    }
    Half::Lone(length, if json[0] == b'\\' { REPLACEMENT_ESCAPE } else { REPLACEMENT })
}

/// The UTF-16 unit that `\uXXXX` or the three bytes of an encoded half stand for, and how long that is.
fn unit(json: &[u8]) -> Option<(u32, usize)> {
    match json {
        [b'\\', b'u', a, b, c, d, ..] => {
            let digits = [*a, *b, *c, *d];
            let value = digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))?;
            Some((value, 6))
        }
        [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, ..] => {
            Some((0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f), 3))
        }
        _ => None,
    }
}

fn joined(high: u32, low: u32) -> Vec<u8> {
    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::repaired;

    fn text(json: &[u8]) -> String {
        serde_json::from_slice(&repaired(json)).unwrap()
    }

    #[test]
    fn halves_become_replacement_characters_and_pairs_stay() {
        assert_eq!(text(br#""a\ud83d""#), "a\u{fffd}");
        assert_eq!(text(br#""\ude00b""#), "\u{fffd}b");
        assert_eq!(text(br#""\ud83d\ude00""#), "\u{1f600}");
        assert_eq!(text(br#""\uD83D\uDE00""#), "\u{1f600}");
        assert_eq!(text(br#""\ud83d\ud83d\ude00""#), "\u{fffd}\u{1f600}");
        assert_eq!(text(br#""\ud83d\n\ude00""#), "\u{fffd}\n\u{fffd}");
        assert_eq!(text(br#""\ud83dx""#), "\u{fffd}x");
    }

    #[test]
    fn an_escaped_backslash_begins_no_escape() {
        assert_eq!(text(br#""\\ud83d""#), r"\ud83d");
        assert_eq!(text(br#""\\\ud83d""#), "\\\u{fffd}");
    }

    #[test]
    fn encoded_halves_are_replaced_or_joined() {
        assert_eq!(text(b"\"a\xed\xa0\xbd\""), "a\u{fffd}");
        assert_eq!(text(b"\"\xed\xa0\xbd\xed\xb8\x80\""), "\u{1f600}");
        assert_eq!(text(b"\"\\ud83d\xed\xb8\x80\""), "\u{1f600}");
        assert_eq!(text("\"\u{d7ff}\"".as_bytes()), "\u{d7ff}");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for json in ["", "\\", "\"\\u12\"", r#""\ud8"#, "{\"a\\ud83d\\ude00\":[1]}", "\"\u{e000}\"", "\\u", "\"\\\""] {
            assert!(matches!(repaired(json.as_bytes()), std::borrow::Cow::Borrowed(_)), "{json}");
        }
        for bytes in [&b"\xed"[..], b"\xed\xa0", b"\xff\xfe\xed", b"\\\xed"] {
            assert_eq!(&*repaired(bytes), bytes);
        }
    }
}
