//! Base64 as people and programs send it, and in the one form that every model API reads.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};

/// Padding may be missing, and bits behind the last byte may be anything: many encoders do that. What is sent on is canonical.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub struct Data {
    pub bytes: Vec<u8>,
    pub text: String,
}

/// The bytes, and the base64 that every reader takes. Line breaks, the alphabet for addresses and a `data:` prefix are put right.
///
/// # Errors
/// In words, for the end of a sentence.
pub fn canonical(text: &str) -> Result<Data, &'static str> {
    if let Ok(bytes) = general_purpose::STANDARD.decode(text)
        && !bytes.is_empty()
    {
        return Ok(Data { bytes, text: text.to_owned() });
    }
    let bare = text.trim_start().strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let plain: String = bare
        .map_or(text, |(_, data)| data)
        .chars()
        .filter(|char| !char.is_ascii_whitespace())
        .map(|char| match char {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let bytes = LENIENT.decode(plain).map_err(|_| "not base64")?;
    if bytes.is_empty() {
        return Err("empty");
    }
    let text = general_purpose::STANDARD.encode(&bytes);
    Ok(Data { bytes, text })
}

/// The first bytes, at most `most`, of canonical base64.
pub fn prefix(text: &str, most: usize) -> Vec<u8> {
    let length = text.len().min(most.div_ceil(3) * 4) / 4 * 4;
    text.get(..length).and_then(|text| LENIENT.decode(text).ok()).unwrap_or_default()
}
