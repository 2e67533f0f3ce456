//! The contract of [`Store`], as tests that run on every implementation.
//!
//! An implementation hands its [`Factory`] to [`store_suite!`] and gets one named test a behaviour. Times are small
//! numbers that the tests choose: nothing here waits.

pub(super) mod call_pacer;
pub(super) mod creating;
pub(super) mod idempotency;
pub(super) mod job_queue;
pub(super) mod notifications;
pub(super) mod observing;
pub(super) mod poll_lock;
pub(super) mod timeline;
pub(super) mod transactions;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{JobAttempt, Store, TimelineEvent};
use crate::payment::{
    AccountName, Amount, Currency, Intent, JobKind, Kind, MerchantUrls, NewJob, Notification,
    Observation, Payment, PaymentId, PaymentReference, PaymentState, PaymentTerms, Priority,
    Source, Status, StatusUpdate, Timestamp, Verdict, Version,
};

/// Where the suite gets its stores from.
#[async_trait]
pub(super) trait Factory: Sync {
    /// A store with nothing in it.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// The newest fresh store's data through a new handle, the old one being given up. `None`: this kind keeps nothing
    /// beyond its handle.
    async fn reopened(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>>;
}

/// `store_suite!(module_name, factory)`: the whole suite as tests in a module of that name.
macro_rules! store_suite {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;

            $crate::store::suite::store_suite! { @tests $factory;
                creating {
                    an_intent_is_kept_and_repeating_it_changes_nothing
                    an_intent_of_another_account_is_left_alone
                    an_unknown_reference_has_no_intent
                    creating_keeps_the_payment_and_binds_its_intent
                    creating_again_changes_nothing
                    creating_after_a_notification_fills_in_and_never_lowers
                    creating_keeps_what_is_known
                    creating_merges_a_higher_state
                    creating_for_another_account_is_refused
                    a_record_without_terms_gives_way_to_the_account_whose_payment_it_is
                    creating_with_another_accounts_reference_is_refused
                    creating_schedules_the_first_check_once
                    creating_after_a_notification_leaves_its_check_first
                    creating_what_is_confirmed_schedules_no_check
                }
                observing {
                    an_unknown_payment_is_begun_as_pending_without_terms
                    an_observation_without_a_claim_begins_a_payment_too
                    the_accepted_update_brings_its_time_lateness_and_reason
                    final_updates_end_at_the_highest_whatever_the_order
                    an_update_counts_only_where_the_store_holds_what_it_replaces
                    a_word_that_goes_on_keeps_its_time
                    of_sixty_four_answers_at_once_one_counts
                    sixty_four_observers_at_once_never_lose_a_confirmation
                    a_random_history_ends_where_the_rules_say
                    an_observation_for_another_account_is_refused_and_touches_nothing
                    a_refusal_among_a_thousand_at_once_harms_no_other
                    many_are_read_in_the_order_asked_with_none_for_the_unknown
                    what_is_written_is_there_after_reopening
                    it_is_ready
                }
                notifications {
                    a_notification_keeps_its_bytes_signature_and_arrival
                    a_copy_is_counted_and_not_kept_again
                    copies_that_come_at_once_are_one_notification
                    a_copy_that_agrees_makes_it_agree
                    a_copy_that_does_not_agree_takes_nothing_back
                    the_same_bytes_about_another_payment_are_another_notification
                    the_first_agreeing_notification_is_returned
                    without_an_agreeing_one_the_first_that_awaited_khipus_answer_is_returned
                    a_mismatch_or_an_unconciliated_one_is_never_returned
                }
                job_queue {
                    a_delivery_is_scheduled_once_in_spite_of_everything
                    a_delivery_that_is_done_or_dead_is_never_scheduled_again
                    a_delivery_needs_a_payment_that_stands_at_confirmed
                    no_delivery_where_the_payment_stands_at_reversed
                    a_delivery_may_come_after_the_confirmation
                    scheduling_brings_forward_and_never_puts_off
                    an_attempted_delivery_is_not_brought_forward
                    an_attempted_check_that_is_asked_for_is_due_at_the_earlier_time
                    a_settled_check_can_be_scheduled_again
                    a_check_scheduled_while_leased_is_not_lost
                    what_is_put_back_takes_in_a_check_scheduled_while_leased
                    only_what_is_due_is_claimed_the_longest_due_first
                    a_claim_takes_one_kind_and_at_most_its_limit
                    thirty_two_claimants_never_share_a_job
                    a_lease_that_ran_out_gives_the_job_to_another
                    a_lease_that_ran_out_untaken_can_still_be_settled
                    again_puts_back_and_counts
                    untried_puts_back_and_does_not_count
                    dead_stays_and_is_not_claimed
                    next_due_is_the_earliest_that_can_be_claimed
                    the_higher_priority_is_claimed_first
                    of_two_priorities_the_higher_counts
                    what_is_put_back_has_the_priority_that_its_holder_gives_it
                    a_confirmation_ends_the_plan_and_its_cross_check_takes_the_place
                    a_confirmation_during_a_lease_is_cross_checked_after_it
                    a_payment_that_is_confirmed_gets_no_other_check
                }
                timeline {
                    it_tells_everything_in_order
                    what_is_of_one_moment_stays_in_the_order_recorded
                    an_update_that_changes_nothing_leaves_no_record
                    an_update_that_changes_nothing_is_recorded_with_its_notification_only
                    a_copys_update_is_not_recorded_again
                    an_attempt_is_recorded_even_if_the_lease_was_lost
                    an_attempt_that_was_cut_off_is_recorded_and_not_counted
                    it_shows_the_oldest_up_to_its_limit
                    an_unknown_payment_has_none
                }
                transactions {
                    the_payments_of_a_transaction_are_found_the_newest_first
                    another_account_or_transaction_is_another_matter
                    account_and_transaction_do_not_run_into_each_other
                    a_payment_that_was_filled_in_is_found_by_its_transaction
                    the_transaction_that_is_known_stays
                    the_newest_are_found_up_to_the_limit
                }
                call_pacer {
                    an_idle_second_earns_a_burst_and_then_the_pace_is_even
                    of_many_at_once_each_gets_a_slot_of_its_own
                    a_pause_holds_back_every_slot_that_is_reserved_after_it
                    each_account_has_its_own_slots
                    a_clock_that_was_put_back_far_holds_back_no_question
                }
                poll_lock {
                    of_many_at_once_exactly_one_gets_the_turn
                    the_next_turn_comes_after_the_gap
                    a_turn_that_was_refused_puts_nothing_off
                    each_payment_has_its_own_turns
                    a_clock_that_was_put_back_far_keeps_nobody_waiting
                    a_turn_makes_no_payment_known
                    a_turn_is_remembered_for_ten_minutes
                }
                idempotency {
                    exactly_one_of_many_that_begin_at_once_is_fresh
                    the_same_arrival_stays_fresh_until_it_is_finished
                    an_answer_is_given_again_byte_for_byte
                    an_answer_may_be_empty
                    a_key_stands_for_one_body_whatever_became_of_it
                    another_account_or_route_or_key_is_another_request
                    a_key_let_go_is_fresh_again_for_any_body
                    unknown_stays_unknown
                    only_the_arrival_that_holds_a_key_can_finish_it_and_only_once
                    under_way_too_long_is_unknown_until_it_is_finished
                    a_key_is_free_again_when_its_term_is_over
                    what_a_key_stands_for_survives_reopening
                }
            }
        }
    };
    (@tests $factory:expr; $($topic:ident { $($behaviour:ident)* })*) => {$($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            $crate::store::suite::$topic::$behaviour(&$factory).await;
        }
    )*)*};
}
pub(in crate::store) use store_suite;

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

pub(super) fn version(number: u16) -> Version {
    Version::from_number(number).expect("a version")
}

pub(super) fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("payment id")
}

pub(super) fn shop() -> AccountName {
    AccountName::parse("shop").expect("account")
}

pub(super) fn other_shop() -> AccountName {
    AccountName::parse("other-shop").expect("account")
}

pub(super) fn intent(reference: u128) -> Intent {
    Intent {
        reference: PaymentReference::from_random(reference),
        account: shop(),
        urls: urls(),
        created_at: at(5),
        payment_id: None,
    }
}

pub(super) fn urls() -> MerchantUrls {
    MerchantUrls {
        return_url: Some("https://shop.example/back?a=1&b=ñ".to_owned()),
        cancel_url: None,
        notify_url: Some("https://shop.example/khipu".to_owned()),
    }
}

pub(super) fn payment(name: &str) -> Payment {
    Payment {
        id: id(name),
        account: shop(),
        terms: Some(PaymentTerms {
            amount: Amount::parse("11900.5").expect("amount"),
            currency: Currency::parse("CLP").expect("currency"),
            transaction_id: Some("order 77".to_owned()),
        }),
        urls: urls(),
        reference: Some(PaymentReference::from_random(9)),
        payment_url: Some("https://khipu.example/payment/info/x".to_owned()),
        expires_at: Some(at(90_000)),
        created_at: at(10),
        state: PaymentState::created(at(10)),
    }
}

/// An update and nothing else, of a payment that stands where it began.
pub(super) fn saying(kind: Kind, ms: i64) -> Observation {
    let (number, held) = match kind {
        Kind::Confirmed => (1000, None),
        Kind::Reversed => (1001, None),
        of_a_round => (10 + of_a_round as u16, Some(11)),
    };
    updating(held, number, ms)
}

/// An update and nothing else. Without `held` it counts from anywhere.
pub(super) fn updating(held: Option<u16>, number: u16, ms: i64) -> Observation {
    Observation {
        account: shop(),
        source: Source::Khipu,
        at: at(ms),
        update: Some(StatusUpdate {
            version: version(number),
            replaces: held.map(version),
            late: false,
            reason: None,
        }),
        notification: None,
        jobs: Vec::new(),
    }
}

/// A notification and nothing else.
pub(super) fn notified(body: &str, verdict: Verdict, ms: i64) -> Observation {
    Observation {
        source: Source::Notification,
        update: None,
        notification: Some(Notification {
            body: Bytes::copy_from_slice(body.as_bytes()),
            signature: format!("t={ms},s=c2lnbmF0dXJl"),
            verdict,
        }),
        ..saying(Kind::Created, ms)
    }
}

/// A job and nothing else.
pub(super) fn scheduling(kind: JobKind, due_ms: i64) -> Observation {
    Observation {
        update: None,
        jobs: vec![NewJob {
            kind,
            due_at: at(due_ms),
            priority: Priority::Silent,
        }],
        ..saying(Kind::Created, 1)
    }
}

/// A confirmation as it usually comes: by a notification that agrees, with a delivery to schedule.
pub(super) fn confirming(body: &str, ms: i64) -> Observation {
    Observation {
        update: saying(Kind::Confirmed, ms).update,
        jobs: scheduling(JobKind::Delivery, ms).jobs,
        ..notified(body, Verdict::Agrees, ms)
    }
}

pub(super) fn attempt(ms: i64, result: &str) -> JobAttempt {
    JobAttempt {
        at: at(ms),
        duration: std::time::Duration::from_millis(250),
        result: result.to_owned(),
    }
}

pub(super) async fn status(store: &dyn Store, name: &str) -> Option<Status> {
    let states = store.states(&[id(name)]).await.expect("read");
    states[0].map(|state| state.status())
}

pub(super) async fn events(store: &dyn Store, name: &str) -> Vec<TimelineEvent> {
    let timeline = store.timeline(&id(name)).await.expect("timeline");
    timeline.into_iter().map(|entry| entry.event).collect()
}

/// Every task is started before any is waited for; the results come in the order of the numbers.
pub(super) async fn at_once<T, F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(task(n))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}
