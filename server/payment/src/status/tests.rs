use proptest::prelude::*;

use super::version::LAST_ROUND;
use super::*;

const CONFIRMED: Reported = Reported::Confirmed {
    late: false,
    reason: None,
};
const REVERSED: Reported = Reported::Reversed(StatusReason::FullyRefunded);
const REJECTED: Reported = Reported::Rejected(StatusReason::RejectedByPayer);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1000)
}

fn version(number: u16) -> Version {
    Version::from_number(number).expect("a version")
}

fn held_at(number: u16) -> PaymentState {
    PaymentState {
        version: version(number),
        ..PaymentState::created(at(0))
    }
}

/// The number after an answer of Khipu's, asked long after the state began.
fn after_answer(number: u16, reported: Reported) -> u16 {
    let held = held_at(number);
    let update = held.answered(reported, at(1000));
    update
        .map_or(held, |update| held.updated(&update, at(1000)))
        .version
        .number()
}

fn after_return(number: u16) -> u16 {
    let held = held_at(number);
    held.returned()
        .map_or(held, |update| held.updated(&update, at(1000)))
        .version
        .number()
}

#[test]
fn numbers_are_those_of_the_protocol() {
    let shown: Vec<_> = [11, 12, 13, 14, 15, 16, 17, 1000, 1001]
        .map(|number| {
            let version = version(number);
            (
                number,
                version.status().as_str(),
                version.by(),
                version.is_final(),
            )
        })
        .to_vec();
    assert_eq!(
        shown,
        [
            (11, "pending", None, false),
            (12, "verifying", Some("payer"), false),
            (13, "pending", Some("khipu"), false),
            (14, "verifying", Some("khipu"), false),
            (15, "expired", None, false),
            (16, "cancelled", None, false),
            (17, "rejected", None, false),
            (1000, "confirmed", None, true),
            (1001, "reversed", None, true),
        ]
    );
    for number in [0, 1, 7, 9, 10, 18, 19, 20, 998, 999, 1002, u16::MAX] {
        assert_eq!(Version::from_number(number), None, "{number}");
    }
    assert_eq!(version(997).kind(), StatusKind::Rejected);
}

#[test]
fn the_numbers_of_0_1_are_read_as_todays() {
    let read: Vec<_> = (1..=7)
        .map(|number| Version::from_stored(number).expect("read").number())
        .collect();
    assert_eq!(read, [11, 12, 15, 16, 17, 1000, 1001]);
    assert_eq!(Version::from_stored(0), None);
    assert_eq!(Version::from_stored(8), None);
    assert_eq!(Version::from_stored(24), Some(version(24)));
}

#[test]
fn names_are_those_of_the_wire() {
    for word in [
        "pending",
        "verifying",
        "expired",
        "cancelled",
        "rejected",
        "confirmed",
        "reversed",
    ] {
        let status = Status::parse(word).expect("a status");
        assert_eq!(status.as_str(), word);
        assert_eq!(serde_json::json!(status), word);
    }
    for word in [
        "rejected-by-payer",
        "marked-as-abuse",
        "marked-paid-by-receiver",
        "partially-refunded",
        "fully-refunded",
        "reversed",
    ] {
        let reason = StatusReason::parse(word).expect("a reason");
        assert_eq!(reason.as_str(), word);
        assert_eq!(serde_json::json!(reason), word);
    }
}

#[test]
fn a_higher_kind_stays_in_the_round_and_a_lower_one_opens_the_next() {
    for (held, reported, expected) in [
        (11, Reported::Pending, 11),
        (11, Reported::Verifying, 14),
        (11, REJECTED, 17),
        (12, Reported::Pending, 13),
        (12, Reported::Verifying, 14),
        (13, Reported::Pending, 13),
        (13, Reported::Expired, 15),
        (14, Reported::Pending, 23),
        (14, Reported::Verifying, 14),
        (15, Reported::Expired, 15),
        (15, Reported::Pending, 23),
        (16, Reported::Cancelled, 16),
        (17, Reported::Pending, 23),
        (17, Reported::Verifying, 24),
        (17, Reported::Cancelled, 26),
        (17, CONFIRMED, 1000),
        (27, Reported::Verifying, 34),
        (1000, REJECTED, 1000),
        (1000, REVERSED, 1001),
        (1001, CONFIRMED, 1001),
    ] {
        assert_eq!(
            after_answer(held, reported),
            expected,
            "{held} {reported:?}"
        );
    }
}

#[test]
fn another_reason_for_a_rejection_is_news() {
    let abuse = Reported::Rejected(StatusReason::MarkedAsAbuse);
    let rejected = held_at(11);
    let rejected = rejected.updated(&rejected.answered(REJECTED, at(1)).expect("news"), at(1));
    assert_eq!(rejected.answered(REJECTED, at(2)), None);
    let marked = rejected.updated(&rejected.answered(abuse, at(2)).expect("news"), at(2));
    assert_eq!(
        (marked.version, marked.reason),
        (version(27), Some(StatusReason::MarkedAsAbuse))
    );
    assert_eq!(marked.answered(abuse, at(3)), None);
    let last = PaymentState {
        reason: Some(StatusReason::RejectedByPayer),
        ..held_at(997)
    };
    assert_eq!(
        last.answered(abuse, at(3)),
        None,
        "there is no further round"
    );
}

#[test]
fn a_payer_who_comes_back_after_an_end_opens_a_round() {
    for (held, expected) in [
        (11, 12),
        (12, 12),
        (13, 22),
        (14, 14),
        (15, 22),
        (16, 22),
        (17, 22),
        (1000, 1000),
        (1001, 1001),
    ] {
        assert_eq!(after_return(held), expected, "{held}");
    }
}

#[test]
fn in_the_last_round_only_higher_kinds_and_final_statuses_count() {
    assert_eq!(after_answer(991, Reported::Verifying), 994);
    assert_eq!(after_answer(997, Reported::Verifying), 997);
    assert_eq!(after_return(997), 997);
    assert_eq!(after_answer(997, CONFIRMED), 1000);
}

#[test]
fn pending_within_half_a_minute_of_the_return_is_no_news() {
    let held = PaymentState {
        at: at(100),
        ..held_at(12)
    };
    for reported in [Reported::Pending, Reported::Expired] {
        assert_eq!(held.answered(reported, at(129)), None);
    }
    let update = held.answered(Reported::Pending, at(130)).expect("news");
    assert_eq!(update.version, version(13));
}

#[test]
fn a_status_that_continues_keeps_its_time() {
    let held = PaymentState {
        at: at(7),
        ..held_at(12)
    };
    let update = held.answered(Reported::Verifying, at(9)).expect("news");
    assert_eq!(held.updated(&update, at(9)).at, at(7));
    let from_pending = held_at(13);
    let update = from_pending
        .answered(Reported::Verifying, at(9))
        .expect("news");
    assert_eq!(from_pending.updated(&update, at(9)).at, at(9));
}

#[test]
fn a_slow_old_answer_changes_nothing() {
    let held = held_at(17);
    let old = held.answered(Reported::Cancelled, at(1)).expect("news");
    let newer = held.answered(Reported::Verifying, at(2)).expect("news");
    let state = held.updated(&newer, at(3));
    assert_eq!(state.updated(&old, at(4)), state);
}

#[test]
fn a_reason_belongs_to_its_version() {
    let held = held_at(11);
    let rejected = held.updated(&held.answered(REJECTED, at(1)).expect("news"), at(1));
    assert_eq!(rejected.reason, Some(StatusReason::RejectedByPayer));
    let resumed = rejected.updated(&rejected.returned().expect("news"), at(2));
    assert_eq!(resumed.reason, None);
}

/// An event of a random history.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Khipu's own state moves on.
    KhipuMoves(Reported),
    /// Khipu reports the payment as paid, and reports nothing else from then on.
    KhipuConfirms,
    /// An instance asks Khipu: it reads the store, then Khipu reads its own state.
    Asked,
    /// One of the pending answers arrives, in any order.
    Arrives(usize),
    /// The payer comes back and the return is recorded.
    Returned,
    /// A fresh signed notification arrives: Khipu has confirmed.
    Notified,
    TimePasses(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let reported = proptest::sample::select(vec![
        Reported::Pending,
        Reported::Expired,
        Reported::Verifying,
        Reported::Cancelled,
        REJECTED,
        Reported::Rejected(StatusReason::MarkedAsAbuse),
    ]);
    prop_oneof![
        4 => reported.prop_map(Event::KhipuMoves),
        1 => Just(Event::KhipuConfirms),
        6 => Just(Event::Asked),
        6 => (0usize..8).prop_map(Event::Arrives),
        3 => Just(Event::Returned),
        2 => Just(Event::Notified),
        4 => (1u8..60).prop_map(Event::TimePasses),
    ]
}

/// A pending answer: what the store held when Khipu was asked, when that was, and what Khipu reported.
type PendingAnswer = (PaymentState, Timestamp, Reported);

struct World {
    store: PaymentState,
    khipu: Reported,
    now: i64,
    pending: Vec<PendingAnswer>,
    was_confirmed: bool,
}

impl World {
    fn new() -> Self {
        Self {
            store: PaymentState::created(at(0)),
            khipu: Reported::Pending,
            now: 0,
            pending: Vec::new(),
            was_confirmed: false,
        }
    }

    fn apply(&mut self, update: Option<StatusUpdate>) {
        let before = self.store;
        if let Some(update) = update {
            self.store = before.updated(&update, at(self.now));
            self.was_confirmed |= update.version == Version::CONFIRMED;
        }
        assert!(self.store.version >= before.version, "the number fell");
    }

    fn apply_event(&mut self, event: Event) {
        match event {
            Event::KhipuMoves(word) => {
                if self.khipu != CONFIRMED {
                    self.khipu = word;
                }
            }
            Event::KhipuConfirms => self.khipu = CONFIRMED,
            Event::Asked => self.pending.push((self.store, at(self.now), self.khipu)),
            Event::Arrives(which) => {
                if !self.pending.is_empty() {
                    let which = which % self.pending.len();
                    let (held, asked_at, word) = self.pending.swap_remove(which);
                    self.apply(held.answered(word, asked_at));
                }
            }
            Event::Returned => {
                let update = self.store.returned();
                self.apply(update);
            }
            Event::Notified => {
                if self.khipu == CONFIRMED {
                    self.apply(CONFIRMED.final_update());
                }
            }
            Event::TimePasses(seconds) => self.now += i64::from(seconds),
        }
    }

    /// Khipu's state stays, late answers arrive, and Khipu is asked once more after the grace of a return.
    fn settle(&mut self) {
        while !self.pending.is_empty() {
            self.apply_event(Event::Arrives(0));
        }
        self.now += 31;
        self.apply_event(Event::Asked);
        self.apply_event(Event::Arrives(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn in_any_history_the_number_never_falls_and_the_last_status_is_khipus(
        history in prop::collection::vec(event(), 0..60)
    ) {
        let mut world = World::new();
        for event in history {
            world.apply_event(event);
        }
        world.settle();
        prop_assert_eq!(world.store.status(), world.khipu.kind().status());
        if let Reported::Rejected(reason) = world.khipu {
            prop_assert_eq!(world.store.reason, Some(reason));
        }
        prop_assert!(!world.was_confirmed || world.store.version >= Version::CONFIRMED, "a confirmation was lost");
        prop_assert!(world.store.version.number() / 10 < LAST_ROUND || world.store.is_final());
    }

    #[test]
    fn final_updates_end_the_same_in_any_order(
        (updates, shuffled) in prop::collection::vec(prop::bool::ANY, 1..8)
            .prop_flat_map(|updates| (Just(updates.clone()), Just(updates).prop_shuffle()))
    ) {
        let end = |updates: &[bool]| updates.iter().fold(PaymentState::created(at(0)), |state, reversed| {
            let reported = if *reversed { REVERSED } else { CONFIRMED };
            state.updated(&reported.final_update().expect("final"), at(1))
        });
        prop_assert_eq!(end(&updates).version, end(&shuffled).version);
    }
}
