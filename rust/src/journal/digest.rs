//! How message ids are kept: 16 bytes whatever their length, exact for all practical purposes (a SHA-256 prefix).

use sha2::{Digest, Sha256};

pub fn digest(id: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    *hash.first_chunk().expect("32 bytes begin with 16")
}
