//! Identifiers that Khipu assigns. They come from the system's randomness, not from the seed: a restarted
//! sandbox must not repeat payment ids that a gateway has already stored.

use rand::RngExt;

const ID_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Twelve lower-case letters or digits.
pub(crate) fn new_payment_id() -> String {
    draw(ID_ALPHABET, 12)
}

/// The notification_token: 64 hexadecimal digits.
pub(crate) fn new_token() -> String {
    draw(b"0123456789abcdef", 64)
}

/// The secret of a new collection account: 40 characters that begin with `sandbox`.
pub(crate) fn new_secret() -> String {
    format!("sandbox{}", draw(b"0123456789abcdef", 33))
}

pub(crate) fn new_refund_id() -> String {
    draw(ID_ALPHABET, 16)
}

/// The number of a new collection account.
pub(crate) fn new_receiver_id() -> u64 {
    rand::rng().random_range(1_000_000..10_000_000)
}

fn draw(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .filter_map(|_| alphabet.get(rng.random_range(0..alphabet.len())))
        .map(|&byte| char::from(byte))
        .collect()
}
