//! Names that are somebody's own words, made into names of keys.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// SHA-256 over all of them in hexadecimal; each is preceded by its length, so that no two can run into each other.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let names = [
            digest(&["ab", "c"]),
            digest(&["a", "bc"]),
            digest(&["abc", ""]),
            digest(&["abc"]),
        ];
        for (n, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 64);
            assert!(!names[..n].contains(name), "{n}");
        }
    }
}
