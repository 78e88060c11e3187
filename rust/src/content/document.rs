//! PDF files, as far as a model API refuses them.

use memchr::memmem;

/// What the API takes in a request, by its bytes.
const MOST_BYTES: usize = 20 << 20;
/// And by its pages, for windows of any size.
const MOST_PAGES: usize = 100;
/// Where readers look for the marks at both ends.
const MARGIN: usize = 1024;

/// # Errors
/// Why the model could not read it, in words.
pub fn examine(bytes: &[u8]) -> Result<(), String> {
    let head = &bytes[..bytes.len().min(MARGIN)];
    if memmem::find(head, b"%PDF-").is_none() {
        return Err("a document that is not a PDF; send text as text".into());
    }
    if bytes.len() > MOST_BYTES {
        return Err(format!("a PDF of {} bytes; at most {MOST_BYTES} can be read", bytes.len()));
    }
    let tail = &bytes[bytes.len() - bytes.len().min(MARGIN)..];
    if memmem::rfind(tail, b"%%EOF").is_none() {
        return Err("a PDF that is cut off".into());
    }
    if memmem::find(bytes, b"/Encrypt").is_some() {
        return Err("a PDF that is protected by a password".into());
    }
    let pages = pages(bytes);
    if pages > MOST_PAGES {
        return Err(format!("a PDF of {pages} pages; at most {MOST_PAGES} can be read"));
    }
    Ok(())
}

/// Those that can be counted without reading compressed parts: never too many.
fn pages(bytes: &[u8]) -> usize {
    let is_page = |at: &usize| {
        let rest = bytes[at + 5..].trim_ascii_start();
        rest.starts_with(b"/Page") && !rest.get(5).is_some_and(u8::is_ascii_alphabetic)
    };
    memmem::find_iter(bytes, b"/Type").filter(is_page).count()
}
