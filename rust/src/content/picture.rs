//! Images, looked at far enough to know what a model API would say of them: type, completeness, bytes, pixels.

use memchr::memmem;
use std::io::Cursor;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// Of the base64, which is what the API measures.
const MOST_BYTES: usize = 5 << 20;
/// In either direction.
pub const MOST_PIXELS: u32 = 8_000;
/// Images up to this many pixels are decoded whole: tens of milliseconds, tens of megabytes. Of larger ones the structure is checked, and
/// what is wrong inside is found by the API, which the thread survives as well (DESIGN 5.7, fallback).
const DECODED: u64 = 4_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

pub struct Picture {
    pub media_type: &'static str,
}

type Measure = fn(&[u8]) -> Option<Size>;
/// Whether it is whole; the flag says that its pixels may be decoded for that.
type Check = fn(&[u8], bool) -> Option<()>;

/// # Errors
/// Why a model could not look at it, in words.
pub fn examine(bytes: &[u8], encoded: usize) -> Result<Picture, String> {
    let media_type = sniffed(bytes).ok_or("an image that is of no known type")?;
    let (size, whole): (Measure, Check) = match media_type {
        "image/png" => (png_size, png_whole),
        "image/jpeg" => (jpeg_size, jpeg_whole),
        "image/gif" => (gif_size, gif_whole),
        "image/webp" => (webp_size, webp_whole),
        other => {
            return Err(format!("an image of type {other}, which models do not take; PNG, JPEG, GIF and WebP they do"));
        }
    };
    if encoded > MOST_BYTES {
        return Err(format!("an image of {encoded} bytes in base64; models take at most {MOST_BYTES}"));
    }
    let Size { width, height } = size(bytes).ok_or_else(|| broken(media_type))?;
    if width == 0 || height == 0 {
        return Err("an image without pixels".into());
    }
    if width.max(height) > MOST_PIXELS {
        return Err(format!(
            "an image of {width}×{height} pixels; models take at most {MOST_PIXELS} in each direction"
        ));
    }
    let decode = u64::from(width) * u64::from(height) <= DECODED;
    whole(bytes, decode).ok_or_else(|| broken(media_type))?;
    Ok(Picture { media_type })
}

fn broken(media_type: &str) -> String {
    format!("an image ({media_type}) that is cut off or damaged")
}

/// Pixels of an image of which only the beginning may be there.
pub fn size_of(bytes: &[u8]) -> Option<Size> {
    match sniffed(bytes)? {
        "image/png" => png_size(bytes),
        "image/jpeg" => jpeg_size(bytes),
        "image/gif" => gif_size(bytes),
        "image/webp" => webp_size(bytes),
        _ => None,
    }
}

/// By the first bytes; also of some types that models do not take, so that it can be named.
fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'B', b'M', ..] => "image/bmp",
        [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => "image/tiff",
        [0, 0, 1, 0, ..] => "image/x-icon",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "image/avif",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "image/heic",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        _ if memmem::find(&bytes[..bytes.len().min(1024)], b"<svg").is_some() => "image/svg+xml",
        _ => return None,
    })
}

fn png_size(bytes: &[u8]) -> Option<Size> {
    let header = bytes.get(12..24)?;
    (&header[..4] == b"IHDR").then(|| Size { width: big(&header[4..8]), height: big(&header[8..12]) })
}

/// Its chunks up to the end with their checksums, and every row of what is not too large.
fn png_whole(bytes: &[u8], decode: bool) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    let mut data = false;
    loop {
        let length = big(rest.get(..4)?) as usize;
        let chunk = rest.get(4..length.checked_add(8)?)?;
        if crc32fast::hash(chunk) != big(rest.get(8 + length..12 + length)?) {
            return None;
        }
        data |= &chunk[..4] == b"IDAT";
        if &chunk[..4] == b"IEND" {
            break;
        }
        rest = &rest[12 + length..];
    }
    if !data || !decode {
        return data.then_some(());
    }
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().ok()?;
    while reader.next_row().ok()?.is_some() {}
    Some(())
}

/// The frame header, wherever it stands behind metadata.
fn jpeg_size(bytes: &[u8]) -> Option<Size> {
    let mut rest = bytes.get(2..)?;
    loop {
        let (marker, body) = segment(&mut rest)?;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let height = u32::from(u16::from_be_bytes([*body.get(1)?, *body.get(2)?]));
                let width = u32::from(u16::from_be_bytes([*body.get(3)?, *body.get(4)?]));
                return Some(Size { width, height });
            }
            0xda => return None,
            _ => {}
        }
    }
}

/// The next segment of a JPEG before its scans.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let fill = rest.iter().position(|byte| *byte != 0xff)?;
    if fill == 0 {
        return None;
    }
    let (marker, after) = rest[fill..].split_first()?;
    if matches!(marker, 0x01 | 0xd0..=0xd8) {
        *rest = after;
        return Some((*marker, &[]));
    }
    let length = usize::from(u16::from_be_bytes([*after.first()?, *after.get(1)?]));
    let body = after.get(2..length)?;
    *rest = &after[length..];
    Some((*marker, body))
}

/// Segments up to the first scan, and an end behind it; small ones are decoded.
fn jpeg_whole(bytes: &[u8], decode: bool) -> Option<()> {
    let mut rest = bytes.get(2..)?;
    while segment(&mut rest)?.0 != 0xda {}
    memmem::rfind(rest, b"\xff\xd9")?;
    if decode {
        // As tolerant as the decoders behind the APIs: cameras write odd files.
        zune_jpeg::JpegDecoder::new(ZCursor::new(bytes)).decode().ok()?;
    }
    Some(())
}

fn gif_size(bytes: &[u8]) -> Option<Size> {
    let screen = bytes.get(6..10)?;
    let side = |at: usize| u32::from(u16::from_le_bytes([screen[at], screen[at + 1]]));
    Some(Size { width: side(0), height: side(2) })
}

/// Every frame of it up to its end; the first is decoded if it is not too large.
fn gif_whole(bytes: &[u8], decode: bool) -> Option<()> {
    let frames = |skip: bool| {
        let mut options = gif::DecodeOptions::new();
        options.skip_frame_decoding(skip);
        options.read_info(Cursor::new(bytes)).ok()
    };
    if decode {
        frames(false)?.read_next_frame().ok()??;
    }
    let mut decoder = frames(true)?;
    decoder.next_frame_info().ok()??;
    while decoder.next_frame_info().ok()?.is_some() {}
    Some(())
}

fn webp_size(bytes: &[u8]) -> Option<Size> {
    let body = bytes.get(20..)?;
    let short = |at: usize| Some(u32::from(u16::from_le_bytes([*body.get(at)?, *body.get(at + 1)?])));
    let (width, height) = match bytes.get(12..16)? {
        b"VP8X" => {
            let side = |at: usize| Some(1 + (short(at)? | u32::from(*body.get(at + 2)?) << 16));
            (side(4)?, side(7)?)
        }
        b"VP8L" => {
            let bits = short(1)? | short(3)? << 16;
            (1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff))
        }
        b"VP8 " => (short(6)? & 0x3fff, short(8)? & 0x3fff),
        _ => return None,
    };
    Some(Size { width, height })
}

/// As long as it says, with readable chunks; small ones are decoded.
fn webp_whole(bytes: &[u8], decode: bool) -> Option<()> {
    let said = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    if said.checked_add(8)? > bytes.len() {
        return None;
    }
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).ok()?;
    if decode {
        let mut pixels = vec![0; decoder.output_buffer_size()?];
        if decoder.is_animated() {
            decoder.read_frame(&mut pixels).ok()?;
        } else {
            decoder.read_image(&mut pixels).ok()?;
        }
    }
    Some(())
}

fn big(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
