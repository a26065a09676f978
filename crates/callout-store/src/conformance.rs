//! What every backend has to do. One suite; a backend passes it and nothing else changes.
//!
//! A backend implements [`Backend`] and calls [`conformance!`](crate::conformance), which makes one
//! test of every check. Each check has a bystander: a second message that must not change.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed check is a panic")]
#![expect(missing_docs, reason = "the names of the checks are sentences")]

mod bench;
pub mod claiming;
pub mod enqueueing;
pub mod operating;
pub mod planning;
pub mod settling;
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
                channels_do_not_wait_for_each_other;
            settling: an_accepted_delivery_is_over, a_late_result_is_evidence_only,
                settling_twice_is_settling_once, handing_back_leaves_no_try,
                failures_open_the_circuit_and_one_probe_goes, throttling_stops_the_whole_channel,
                extra_requests_count_against_the_limit, reports_come_with_the_settlement;
            tending: an_ended_lease_is_lost, a_retired_worker_loses_its_leases,
                what_is_too_late_expires, overdue_deliveries_move_on,
                an_open_circuit_sends_deliveries_elsewhere, a_removed_channel_is_left,
                the_operator_hears_of_death;
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
