//! The contracts of [`Store`](chasqui_store::Store) and [`Relay`](chasqui_store::Relay) as tests that run on every
//! implementation.
//!
//! An implementation hands its [`StoreFactory`] to [`store_suite!`] and gets one named test for each behaviour. Times are
//! small numbers that the tests choose: nothing here waits. It is a crate, not a feature of the store's: a feature that only tests
//! enable would make every build of the binary beside them compile the store and all above it once more.

pub mod call_pacer;
pub mod creating;
pub mod fixtures;
pub mod idempotency;
pub mod job_queue;
pub mod notifications;
pub mod observing;
pub mod poll_lock;
pub mod relay;
pub mod timeline;
pub mod transactions;

pub use fixtures::*;

/// `store_suite!(module_name, factory)`: the whole suite as tests in a module of that name.
#[macro_export]
macro_rules! store_suite {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;

            $crate::store_suite! { @tests $factory;
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
                    updates_end_as_the_table_says
                    a_status_that_continues_keeps_its_time
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
            $crate::$topic::$behaviour(&$factory).await;
        }
    )*)*};
}

/// `relay_suite!(module_name, future)`: the whole suite as tests in a module of that name.
#[macro_export]
macro_rules! relay_suite {
    ($module:ident, $stage:expr) => {
        mod $module {
            use super::*;

            $crate::relay_suite! { @tests $stage;
                a_change_told_after_a_subscription_is_heard_everywhere
                what_is_announced_is_heard_here
                many_payments_are_carried_each_to_its_own
                one_of_two_subscriptions_given_back_leaves_the_other
                each_of_a_crowd_that_subscribes_at_once_hears_what_follows
                a_crowd_that_comes_and_goes_leaves_the_one_that_stays
                a_subscription_made_while_another_is_given_back_holds
                it_is_ready_and_misses_nothing_while_nothing_fails
            }
        }
    };
    (@tests $stage:expr; $($behaviour:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            let mut stage = $stage.await;
            $crate::relay::$behaviour(&mut stage).await;
        }
    )*};
}
