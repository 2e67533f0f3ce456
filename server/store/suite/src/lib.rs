//! The contracts of [`chasqui_store::Store`] and [`chasqui_store::Relay`] as tests that run on every
//! implementation.
//!
//! An implementation passes its [`StoreFactory`] to [`store_suite!`] and gets a named test for each behaviour. A store
//! that instances share measures time by its own clock, so what is due is long past here, what is not due is an hour ahead,
//! and few tests wait for milliseconds. A store of one process also passes [`callers_clock_suite!`], whose tests choose the
//! time. It is a crate, not a feature of the store: a feature that only tests
//! enable would make the binary's builds compile the store and its dependents twice.

pub mod call_pacer;
pub mod callers_clock;
pub mod changes;
pub mod creating;
pub mod deliveries;
pub mod fixtures;
pub mod idempotency;
pub mod job_queue;
pub mod notifications;
pub mod observing;
pub mod payer_data;
pub mod poll_lock;
pub mod relay;
pub mod status_events;
pub mod timeline;
pub mod transactions;
pub mod visits;

pub use fixtures::*;

/// `store_suite!(module_name, factory)`: the whole suite as tests in a module of that name.
#[macro_export]
macro_rules! store_suite {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;

            $crate::store_suite! { @tests $factory;
                creating {
                    an_intent_is_stored_once
                    an_intent_of_another_account_is_not_changed
                    an_unknown_reference_has_no_intent
                    creating_stores_the_payment_and_binds_its_intent
                    creating_again_changes_nothing
                    creating_after_a_notification_fills_in_missing_values_and_keeps_the_status
                    creating_again_keeps_known_values
                    creating_again_takes_the_higher_state
                    creating_for_another_account_is_refused
                    a_payment_without_terms_is_replaced_by_the_one_of_another_account
                    creating_with_another_accounts_reference_is_refused
                    creating_schedules_the_first_check_once
                    creating_after_a_notification_keeps_its_checks_priority
                    creating_a_confirmed_payment_schedules_no_check
                }
                observing {
                    an_unknown_payment_begins_as_pending_without_terms
                    an_observation_without_an_update_begins_a_payment_too
                    an_accepted_update_sets_time_lateness_and_reason
                    final_updates_end_at_the_highest_in_any_order
                    an_update_counts_only_if_the_store_holds_the_version_it_replaces
                    updates_end_as_the_table_says
                    a_status_that_continues_keeps_its_time
                    of_sixty_four_concurrent_answers_one_counts
                    sixty_four_concurrent_observers_never_lose_a_confirmation
                    a_random_history_follows_the_rules
                    an_observation_for_another_account_is_refused_and_changes_nothing
                    a_refused_observation_does_not_affect_concurrent_ones
                    states_are_read_in_the_order_of_their_ids
                    data_and_leases_survive_reopening
                    a_fresh_store_is_healthy
                }
                notifications {
                    a_notification_is_stored_with_its_bytes_signature_and_arrival
                    a_copy_is_counted_and_not_stored_again
                    concurrent_copies_are_one_notification
                    a_copy_that_agrees_sets_the_verdict
                    a_copy_that_does_not_agree_changes_nothing
                    the_same_bytes_for_another_payment_are_another_notification
                    the_first_agreeing_notification_is_returned
                    without_an_agreeing_one_the_first_undecided_notification_is_returned
                    a_mismatched_or_unconciliated_notification_is_never_returned
                }
                job_queue {
                    a_delivery_is_scheduled_once_by_concurrent_confirmations
                    a_delivery_that_is_done_or_dead_is_never_scheduled_again
                    a_delivery_needs_a_confirmed_payment
                    a_reversed_payment_gets_no_delivery
                    a_delivery_can_be_scheduled_after_the_confirmation
                    scheduling_brings_a_job_forward_and_never_delays_it
                    an_attempted_delivery_is_not_brought_forward
                    an_attempted_check_that_is_requested_is_due_at_the_earlier_time
                    a_finished_check_can_be_scheduled_again
                    a_check_scheduled_while_leased_is_not_lost
                    a_check_that_is_put_back_is_merged_with_one_scheduled_while_leased
                    only_due_jobs_are_leased_the_longest_due_first
                    lease_due_takes_one_kind_up_to_its_limit
                    thirty_two_workers_never_share_a_job
                    an_expired_lease_can_be_taken_by_another_worker
                    an_expired_lease_that_was_not_taken_can_still_be_finished
                    retry_puts_the_job_back_and_counts_the_attempt
                    put_back_does_not_count_an_attempt
                    a_dead_job_is_never_leased
                    next_due_is_the_earliest_time_a_job_can_be_leased
                    the_higher_priority_is_leased_first
                    of_two_priorities_the_higher_counts
                    a_job_that_is_put_back_has_the_priority_its_holder_sets
                    a_confirmation_replaces_the_planned_check_with_its_cross_check
                    a_confirmation_during_a_lease_is_cross_checked_after_the_lease
                    a_confirmed_payment_gets_no_other_check
                }
                timeline {
                    it_lists_everything_in_order
                    entries_of_one_moment_stay_in_the_order_recorded
                    an_update_without_effect_is_not_recorded
                    an_update_without_effect_is_recorded_only_with_a_new_notification
                    a_copys_update_is_not_recorded_again
                    an_attempt_is_recorded_even_if_the_lease_was_lost
                    an_interrupted_attempt_is_recorded_and_not_counted
                    it_lists_the_oldest_entries_up_to_its_limit
                    an_unknown_payment_has_no_timeline
                }
                status_events {
                    every_change_is_sent_in_order
                    a_change_keeps_its_lateness_and_reason
                    what_changes_nothing_is_not_sent
                    a_change_that_is_not_accepted_is_sent_again
                    a_change_during_a_lease_follows_it
                    a_lost_lease_removes_no_change
                    what_was_given_up_is_sent_with_the_next_change
                    a_payment_that_another_account_takes_over_loses_its_changes
                    changes_survive_reopening
                }
                payer_data {
                    erasing_leaves_the_timeline_and_no_bytes
                    a_payment_with_an_open_delivery_is_not_erased
                    a_copy_of_an_erased_notification_brings_no_bytes_back
                    a_later_notification_is_stored_and_can_be_erased
                    erasing_again_is_recorded_once
                    another_accounts_payment_is_not_erased
                }
                visits {
                    visits_are_in_the_timeline
                    a_version_is_seen_once
                    a_page_that_reloads_in_a_loop_does_not_fill_the_timeline
                    a_full_timeline_takes_no_visit
                    a_visit_to_an_unknown_payment_is_not_recorded
                }
                transactions {
                    payments_are_found_by_transaction_the_newest_first
                    another_account_or_transaction_is_not_found
                    account_and_transaction_are_separate_in_the_key
                    a_payment_whose_terms_came_later_is_found_by_its_transaction
                    a_known_transaction_stays
                    the_newest_payments_are_found_up_to_the_limit
                }
                deliveries {
                    a_payment_without_a_delivery_has_none
                    a_delivery_is_open_until_it_is_done_or_dead
                    undelivered_are_listed_by_state_the_first_scheduled_first
                    pages_of_undelivered_have_every_one_once
                    a_page_continues_after_a_delivery_that_has_left_the_state
                    only_the_accounts_deliveries_are_listed
                    a_delivery_that_is_done_or_dead_is_reopened_and_counts_from_zero
                    a_confirmed_payment_without_a_delivery_gets_one
                    of_concurrent_redeliveries_one_reopens
                    an_open_delivery_is_not_reopened
                    a_payment_that_is_not_confirmed_is_not_redelivered
                    another_accounts_delivery_is_not_reopened
                }
                changes {
                    payments_are_listed_by_their_last_change_the_oldest_first
                    what_changes_nothing_is_no_change
                    terms_that_come_later_are_a_change
                    a_page_continues_after_a_payment
                    pages_have_every_payment_once
                    only_the_accounts_payments_are_listed
                    a_status_is_found_among_many_others
                    nothing_before_the_cursor_is_listed
                    a_payments_place_is_that_of_its_last_change
                    a_reader_that_continues_after_the_newest_change_misses_none
                }
                call_pacer {
                    an_idle_second_allows_a_burst_and_then_the_pace_is_even
                    concurrent_calls_get_separate_slots
                    a_pause_delays_every_later_slot
                    each_account_has_its_own_slots
                }
                poll_lock {
                    of_concurrent_calls_exactly_one_takes_the_lock
                    the_lock_is_free_after_the_interval
                    a_refused_call_does_not_extend_the_lock
                    each_payment_has_its_own_lock
                    a_lock_creates_no_payment
                }
                idempotency {
                    of_concurrent_arrivals_exactly_one_is_started
                    the_same_arrival_stays_started_until_it_is_completed
                    a_response_is_replayed_byte_for_byte
                    a_response_can_be_empty
                    a_key_belongs_to_one_body_after_any_completion
                    another_account_or_route_or_key_is_another_request
                    a_released_key_is_free_for_any_body
                    an_unknown_outcome_stays_unknown
                    only_the_arrival_that_holds_a_key_can_complete_it_and_only_once
                    a_request_in_progress_too_long_is_unknown_until_it_is_completed
                    a_key_is_free_again_after_its_term
                    keys_survive_reopening
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

/// `callers_clock_suite!(module_name, factory)`: as tests in a module of that name, for a store of one process.
#[macro_export]
macro_rules! callers_clock_suite {
    ($module:ident, $factory:expr) => {
        mod $module {
            use super::*;

            $crate::store_suite! { @tests $factory;
                callers_clock {
                    a_job_is_leased_when_it_is_due_and_when_its_lease_is_over
                    a_poll_lock_is_free_when_its_interval_is_over
                    a_poll_lock_is_remembered_for_ten_minutes
                    a_clock_that_was_set_back_far_does_not_block_polls
                    every_idle_second_allows_a_burst
                    a_clock_that_was_set_back_far_delays_no_slot
                }
            }
        }
    };
}

/// `relay_suite!(module_name, future)`: the whole suite as tests in a module of that name.
#[macro_export]
macro_rules! relay_suite {
    ($module:ident, $deployment:expr) => {
        mod $module {
            use super::*;

            $crate::relay_suite! { @tests $deployment;
                a_change_after_a_subscription_arrives_everywhere
                a_change_published_on_the_relay_arrives_here
                changes_of_many_payments_all_arrive
                ending_one_of_two_subscriptions_keeps_the_other
                each_concurrent_subscriber_receives_what_follows
                subscriptions_that_come_and_go_keep_the_one_that_stays
                a_subscription_made_while_another_ends_holds
                it_is_healthy_and_misses_nothing_without_failures
            }
        }
    };
    (@tests $deployment:expr; $($behaviour:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            let mut deployment = $deployment.await;
            $crate::relay::$behaviour(&mut deployment).await;
        }
    )*};
}
