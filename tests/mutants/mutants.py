"""Which tests turn red when the exactly-once code is broken in a certain way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent

_BATCH: Final = "tests/unit/test_batch.py"
_CLIENT: Final = "tests/unit/test_transactional_producer.py"
_COMMITTER: Final = "tests/unit/test_committer.py"
_JOBS: Final = "tests/unit/test_jobs.py"
_PROTOCOL: Final = "tests/unit/test_partition_protocol.py"
_RESCORE: Final = "tests/unit/test_rescore.py"
_REVIEWS: Final = "tests/unit/test_reviews.py"
_SESSION: Final = "tests/unit/test_session.py"

MUTANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "offset_not_in_transaction": (f"{_CLIENT}::test_everything_is_in_one_transaction",),
    "offsets_outside_transaction": (f"{_CLIENT}::test_everything_is_in_one_transaction",),
    "generation_not_sent": (f"{_SESSION}::test_offsets_are_committed_on_behalf_of_the_member",),
    "member_id_not_sent": (f"{_SESSION}::test_offsets_are_committed_on_behalf_of_the_member",),
    "generation_read_at_send_time": (f"{_PROTOCOL}::test_a_transaction_that_outlasts_the_rebalance_is_refused",),
    "unstable_offset": (f"{_SESSION}::test_offsets_are_stable_ones",),
    "restored_to_last_stable_offset": (f"{_SESSION}::test_the_end_of_a_log_is_behind_open_transactions",),
    "reads_of_takeover_swapped": (
        f"{_PROTOCOL}::test_asks_for_the_stable_offset_then_for_the_end_of_the_changelog",
        f"{_PROTOCOL}::test_a_former_owner_that_is_still_committing_is_waited_for",
    ),
    "jobs_without_offset": (
        f"{_COMMITTER}::test_a_transaction_without_records_of_the_input_has_an_offset_too",
        f"{_PROTOCOL}::test_jobs_alone_are_published_once",
    ),
    "transaction_left_open": (
        f"{_CLIENT}::test_an_abort_has_its_cause",
        f"{_CLIENT}::test_after_a_failed_transaction_the_next_one_begins_in_a_new_session",
        f"{_PROTOCOL}::test_everything_is_published_once",
    ),
    "old_batch_after_rebalance": (
        f"{_COMMITTER}::test_when_the_group_has_gone_on_it_waits_for_the_next_assignment",
        f"{_PROTOCOL}::test_a_partition_that_comes_back_has_another_state_meanwhile",
    ),
    "offset_too_low": (f"{_BATCH}::test_a_lead_is_written_once_per_batch_with_its_last_state",),
    "offset_too_high": (f"{_BATCH}::test_a_lead_is_written_once_per_batch_with_its_last_state",),
    "memory_before_commit": (f"{_JOBS}::test_staged_work_that_was_not_committed_is_staged_again",),
    "fenced_goes_on": (f"{_COMMITTER}::test_when_the_group_has_gone_on_it_waits_for_the_next_assignment",),
    "doubtful_is_aborted": (
        f"{_PROTOCOL}::test_everything_is_published_once",
        f"{_COMMITTER}::test_a_result_in_doubt_is_asked_for",
    ),
    "failed_commit_is_aborted": (f"{_CLIENT}::test_a_commit_that_fails_is_doubtful",),
    "aborted_batch_skipped": (f"{_PROTOCOL}::test_everything_is_published_once",),
    "delivery_not_awaited": (f"{_CLIENT}::test_an_abort_has_its_cause",),
    "marker_not_written": (f"{_RESCORE}::test_aborts_and_crashes_change_nothing",),
    "marker_with_wrong_id": (f"{_RESCORE}::test_aborts_and_crashes_change_nothing",),
    "review_without_state": (f"{_REVIEWS}::test_no_batch_size_restart_abort_or_pause_changes_what_is_published",),
    "log_time_not_written": (
        f"{_JOBS}::test_the_position_keeps_the_time_of_the_log",
        f"{_REVIEWS}::test_no_batch_size_restart_abort_or_pause_changes_what_is_published",
    ),
    "change_without_instant": (f"{_REVIEWS}::test_nor_what_is_published_after_a_change_of_rules",),
    "overdue_lead_forgotten": (f"{_REVIEWS}::test_a_lead_that_is_overdue_at_a_restart_is_reviewed",),
    "tick_counts_before_commit": (f"{_REVIEWS}::test_a_tick_that_was_not_committed_is_written_at_once",),
    "review_before_its_time": (
        f"{_REVIEWS}::test_an_activity_that_arrives_before_a_due_instant_comes_before_its_review",
    ),
    "log_time_goes_back": (f"{_REVIEWS}::test_a_late_clock_of_a_broker_takes_no_time_back",),
    "activity_before_rescoring": (f"{_REVIEWS}::test_nor_what_is_published_after_a_change_of_rules",),
    "dead_letter_dropped_on_retry": (f"{_PROTOCOL}::test_a_batch_that_is_too_large_is_judged_again",),
    "repeated_event_counts": ("tests/unit/test_lead.py::test_a_counted_event_is_known_as_long_as_its_count_is_kept",),
    "restore_stops_at_empty_poll": ("tests/unit/test_recovery.py::test_a_poll_that_brings_nothing_is_not_the_end",),
    "restore_stops_early": ("tests/unit/test_topic_reader.py::test_reads_all_partitions_to_the_end_of_the_spans",),
    "producer_id_of_its_own": ("tests/integration/test_transaction.py::test_the_former_owner_is_fenced",),
    "replay_without_mark": ("tests/integration/test_dlq.py::test_running_again_sends_nothing_twice",),
}
"""Name of the patch, without `.patch`, -> the tests that each turn red."""


def patch_of(name: str) -> Path:
    """The file of a mutant."""
    return FOLDER / f"{name}.patch"
