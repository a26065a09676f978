//! What every backend has to do. One suite; a backend passes it and nothing else changes.
//!
//! A backend implements [`Backend`] and calls [`conformance!`](crate::conformance), which makes one
//! test of every check. Each check has a bystander: a second message that must not change.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed check is a panic")]
#![expect(missing_docs, reason = "the names of the checks are sentences")]

pub mod alerting;
pub mod answering;
pub(crate) mod bench;
pub mod claiming;
pub mod enqueueing;
pub mod operating;
pub mod overseeing;
pub mod planning;
pub mod settling;
pub mod telling;
pub mod tending;

use crate::store::Store;
use async_trait::async_trait;
use std::sync::Arc;

/// One database of a backend, new for each check.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A store on the database; a second call gives a second, independent one on the same.
    async fn store(&self) -> Arc<dyn Store>;

    /// Changes the title of a stored message behind the store's back, leaving its checksum.
    async fn damage(&self, id: &str);

    /// Makes what is stored of a message unreadable: its title is no text any more.
    async fn garble(&self, id: &str);

    /// Replaces the stored policy of a message's alert by something that is none.
    async fn garble_policy(&self, id: &str);

    /// Makes a message's cancelled deliveries ready again behind the store's back.
    async fn revive(&self, id: &str);

    /// A path where a backup may go.
    fn spare_path(&self) -> std::path::PathBuf;
}

/// Makes one test of every check. The argument is an expression that makes a fresh [`Backend`].
#[macro_export]
macro_rules! conformance {
    ($backend:expr) => {
        $crate::conformance!(@ $backend;
            enqueueing: the_same_key_enqueues_once, a_key_belongs_to_one_request,
                the_same_id_again_is_the_same_message, one_refused_message_holds_back_no_other,
                enqueueing_is_announced;
            planning: routes_decide_who_hears, all_receivers_or_none, a_message_for_nobody_is_recorded,
                a_damaged_message_is_set_aside, an_unreadable_message_is_set_aside,
                no_more_than_asked_is_planned;
            claiming: urgent_goes_first_then_oldest, what_is_due_later_waits,
                limits_are_never_exceeded, limits_survive_restarts_and_further_workers,
                two_workers_never_hold_the_same_delivery, a_message_damaged_later_is_not_sent,
                channels_do_not_wait_for_each_other, what_is_new_is_leased_without_waiting,
                what_is_new_does_not_queue_behind_what_has_to_wait, what_is_new_keeps_to_the_limits,
                what_is_new_goes_elsewhere_if_its_channel_is_in_a_pause;
            settling: an_accepted_delivery_is_over, a_late_result_is_evidence_only,
                settling_twice_is_settling_once, handing_back_leaves_no_try,
                failures_open_the_circuit_and_one_probe_goes, throttling_stops_the_whole_channel,
                extra_requests_count_against_the_limit, reports_come_with_the_settlement;
            tending: an_ended_lease_is_lost, a_retired_worker_loses_its_leases,
                what_is_too_late_expires, overdue_deliveries_move_on,
                an_open_circuit_sends_deliveries_elsewhere,
                a_long_pause_sends_deliveries_elsewhere, a_removed_channel_is_left,
                the_operator_hears_of_death;
            alerting: an_alert_opens_with_its_first_step,
                require_ack_opens_an_alert_without_a_policy, the_next_people_are_told_in_time,
                a_decision_is_made_once, in_the_end_the_operator_hears,
                out_of_reach_means_the_next_at_once, people_without_channels_are_passed_over,
                what_expires_counts_as_out_of_reach, a_clock_set_back_moves_the_wait,
                out_of_reach_stays_so_when_the_clock_is_set_back, overdue_steps_go_one_at_a_time,
                no_more_alerts_than_asked_are_looked_at,
                a_damaged_message_ends_its_escalation, a_damaged_policy_ends_its_escalation,
                the_same_problem_is_counted, a_worse_alert_takes_the_place,
                a_worse_message_that_needs_no_ack_joins, a_resolving_message_ends_the_alert,
                a_lost_lease_tells_nobody_after_an_ack, alerts_wait_for_nothing_when_stopped;
            answering: an_ack_stops_everything, an_ack_just_before_the_deadline_wins,
                what_is_under_way_ends_and_is_not_tried_again, everybody_who_was_told_hears_of_it,
                every_deed_is_written_down, giving_back_starts_over,
                reopening_makes_old_links_worthless, a_second_press_does_nothing_more,
                an_alert_knows_what_took_its_place, a_newer_alert_keeps_an_old_one_closed,
                pushing_tells_the_next_people_now, who_cannot_be_answered,
                a_merged_message_stands_for_its_alert;
            telling: news_know_what_they_are_about, what_ends_an_alert_knows_it_too,
                a_channel_gets_its_own_receipts, the_latest_receipts_are_kept,
                a_label_alone_ties_nothing, news_stand_for_their_alert, nothing_calls_news_off,
                news_of_a_damaged_alert_are_sent;
            overseeing: cancelling_resolves_the_alert, who_is_told_again_is_told_once, what_somebody_has_is_not_replayed,
                what_was_cancelled_early_lives_its_whole_life, an_open_alert_is_never_pruned,
                alerts_are_listed_by_how_they_stand, alerts_are_counted,
                a_delivery_put_back_behind_an_ack_does_not_start;
            operating: replay_puts_it_back, cancel_calls_it_off, a_quarantined_message_can_be_replayed,
                old_messages_are_pruned, counts_agree_with_the_rows, lists_are_filtered_and_paged,
                messages_are_found_by_prefix, a_backup_is_whole, the_story_tells_everything;
        );
    };
    (@ $backend:expr; $($module:ident: $($check:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $check() {
                let backend = $backend;
                $crate::conformance::$module::$check(&backend).await;
            }
        )+)+
    };
}
