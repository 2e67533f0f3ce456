//! API keys of merchants' back ends: `chq_`, 40 random characters, and 6 check characters.
//!
//! The prefix lets secret scanners find a published key. The check characters distinguish a mistyped key from a wrong
//! one. Only the SHA-256 is stored.

use rand::RngExt;
use sha2::{Digest, Sha256};

const KEY_PREFIX: &str = "chq_";
const RANDOM_CHARACTERS: usize = 40;
const CHECK_CHARACTERS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Generates a key.
pub fn generate() -> String {
    let mut random = rand::rng();
    let body: String = (0..RANDOM_CHARACTERS)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect();
    let check = check_of(&body);
    format!("{KEY_PREFIX}{body}{check}")
}

/// The SHA-256 of a key, as it is stored and compared.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash in the configuration's form: `sha256:` and hexadecimal digits.
pub fn hash_text(key: &str) -> String {
    let digits: String = hash(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Whether the check characters match. If not, the key was mistyped or cut short.
pub fn is_well_formed(key: &str) -> bool {
    key.strip_prefix(KEY_PREFIX)
        .filter(|rest| rest.len() == RANDOM_CHARACTERS + CHECK_CHARACTERS && rest.is_ascii())
        .map(|rest| rest.split_at(RANDOM_CHARACTERS))
        .is_some_and(|(body, check)| check_of(body) == check)
}

fn check_of(body: &str) -> String {
    Sha256::digest(body.as_bytes())
        .iter()
        .take(CHECK_CHARACTERS)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_checks_itself() {
        let key = generate();
        assert!(is_well_formed(&key), "{key}");
        assert_ne!(key, generate());
        assert!(!is_well_formed(&key[..key.len() - 1]));
        assert!(!is_well_formed(&key.replacen("chq_", "chw_", 1)));
        let mistyped = key.replacen(&key[10..11], if &key[10..11] == "a" { "b" } else { "a" }, 1);
        assert!(!is_well_formed(&mistyped));
    }

    #[test]
    fn the_hash_is_that_of_the_whole_text() {
        assert_eq!(
            hash_text("chq_"),
            "sha256:".to_owned()
                + "e8273a81c3fffc1ce660783fade5e51748ea0baaf7620c6fbd8582c101be85f9"
        );
    }
}
