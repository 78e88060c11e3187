//! An estimate of what a request costs of a model's window, before it is sent.

use memchr::{memchr, memmem};

/// An image is about 1,600 tokens, however many bytes it has; in characters.
const IMAGE: usize = 4_800;
/// Characters of base64 of a document for each character of its text, roughly.
const DOCUMENT: usize = 8;
/// Shorter data is counted like text.
const LEAST: usize = 256;

/// Characters of rendered JSON that the model is to read; base64 counts as what it shows.
pub fn weight(json: &[u8]) -> usize {
    let mut total = json.len();
    for at in memmem::find_iter(json, br#""base64""#) {
        let source = &json[at..json.len().min(at + 160)];
        let Some(data) = memmem::find(source, br#""data":""#).map(|found| at + found + 8) else { continue };
        let length = memchr(b'"', &json[data..]).unwrap_or(0);
        let document = memmem::find(source, b"application/pdf").is_some();
        let shown = if document { length / DOCUMENT } else { IMAGE };
        if length > LEAST {
            total = total - length + shown;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::{IMAGE, weight};

    #[test]
    fn an_image_weighs_what_it_shows() {
        let source = |data: &str| {
            format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#)
        };
        let small = source("AAAA");
        assert_eq!(weight(small.as_bytes()), small.len());
        let frame = source("").len();
        let both = format!("{},{}", source(&"A".repeat(1_000_000)), source(&"A".repeat(300)));
        assert_eq!(weight(both.as_bytes()), 2 * (frame + IMAGE) + 1);
    }
}
