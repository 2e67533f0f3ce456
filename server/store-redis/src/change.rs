//! A change as instances publish it: its channel and its payload.
//!
//! The script that commits a change writes the whole state, so that receivers need not read it:
//! `<version> <at, unix ms> <late, 0 or 1> <reason or nothing>`, as in `1000 1732243800123 0 marked-paid-by-receiver`.

use chasqui_payment::{PaymentId, PaymentState, StatusReason, Timestamp, Version};
use chasqui_redis_topology::Partition;

use super::keys;

/// One channel for each payment, in its partition.
pub(crate) fn channel(id: &PaymentId) -> String {
    keys::of_payment("change", id)
}

/// The payment that a channel is about; `None` for another kind of channel.
pub(crate) fn payment_of(channel: &[u8]) -> Option<PaymentId> {
    let (before, id) = std::str::from_utf8(channel).ok()?.rsplit_once(':')?;
    let id = PaymentId::parse(id).ok()?;
    (before.strip_suffix(":change")? == keys::prefix(Partition::of(id.as_str()))).then_some(id)
}

/// `None` for what no instance publishes.
pub(crate) fn parse(payload: &[u8]) -> Option<PaymentState> {
    let mut words = std::str::from_utf8(payload).ok()?.split(' ');
    let version = Version::from_stored(words.next()?.parse().ok()?)?;
    let at = Timestamp::from_unix_ms(words.next()?.parse().ok()?);
    let late = match words.next()? {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    let reason = match words.next()? {
        "" => None,
        reason => Some(StatusReason::parse(reason)?),
    };
    words.next().is_none().then_some(PaymentState {
        version,
        at,
        late,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_state() {
        let plain = PaymentState {
            version: Version::CONFIRMED,
            ..PaymentState::created(Timestamp::from_unix_ms(1_732_243_800_123))
        };
        assert_eq!(parse(b"1000 1732243800123 0 "), Some(plain));
        // As version 0.1 publishes it.
        assert_eq!(parse(b"6 1732243800123 0 "), Some(plain));
        let full = PaymentState {
            late: true,
            reason: Some(StatusReason::MarkedPaidByReceiver),
            ..plain
        };
        assert_eq!(
            parse(b"1000 1732243800123 1 marked-paid-by-receiver"),
            Some(full)
        );
    }

    #[test]
    fn another_payload_is_none() {
        for payload in [
            &b""[..],
            b"6",
            b"6 1",
            b"6 1 0",
            b"8 1 0 ",
            b"6 x 0 ",
            b"6 1 2 ",
            b"6 1 0 because",
            b"6 1 0  ",
            b"\xff 1 0 ",
        ] {
            assert_eq!(parse(payload), None, "{}", String::from_utf8_lossy(payload));
        }
    }

    #[test]
    fn a_channel_leads_back_to_its_payment() {
        let id = PaymentId::parse("zfxnocsow6mz").expect("id");
        assert_eq!(payment_of(channel(&id).as_bytes()), Some(id));
        for channel in [
            "zfxnocsow6mz",
            "chasqui:{p99}:change:zfxnocsow6mz",
            "a:change:",
        ] {
            assert_eq!(payment_of(channel.as_bytes()), None, "{channel}");
        }
    }
}
