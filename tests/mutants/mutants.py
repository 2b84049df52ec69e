"""Which tests turn red when the exactly-once code is broken in a certain way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent

_BATCH: Final = "tests/unit/test_batch.py"
_CLIENT: Final = "tests/unit/test_transactional_producer.py"
_JOBS: Final = "tests/unit/test_jobs.py"
_PROTOCOL: Final = "tests/unit/test_partition_protocol.py"
_RESCORE: Final = "tests/unit/test_rescore.py"

MUTANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "offset_not_in_transaction": (f"{_CLIENT}::test_everything_is_in_one_transaction",),
    "offset_too_low": (f"{_BATCH}::test_a_lead_is_written_once_per_batch_with_its_last_state",),
    "offset_too_high": (
        f"{_BATCH}::test_a_lead_is_written_once_per_batch_with_its_last_state",
        f"{_PROTOCOL}::test_fences_then_restores_then_asks_for_the_offset",
    ),
    "memory_before_commit": (
        f"{_PROTOCOL}::test_everything_is_published_once",
        f"{_JOBS}::test_staged_work_that_was_not_committed_is_staged_again",
    ),
    "staged_kept_after_abort": (f"{_PROTOCOL}::test_everything_is_published_once",),
    "restored_before_fencing": (
        f"{_PROTOCOL}::test_fences_then_restores_then_asks_for_the_offset",
        f"{_PROTOCOL}::test_a_commit_of_the_former_owner_counts_if_it_arrives_before_the_fencing",
    ),
    "offset_before_restore": (
        f"{_PROTOCOL}::test_fences_then_restores_then_asks_for_the_offset",
        f"{_PROTOCOL}::test_a_commit_of_the_former_owner_counts_if_it_arrives_before_the_fencing",
    ),
    "fenced_goes_on": (f"{_PROTOCOL}::test_a_fenced_worker_does_nothing_more",),
    "doubtful_is_aborted": (
        f"{_PROTOCOL}::test_everything_is_published_once",
        f"{_JOBS}::test_after_a_doubtful_commit_the_jobs_are_made_again",
    ),
    "failed_commit_is_aborted": (f"{_CLIENT}::test_a_commit_that_fails_is_doubtful",),
    "aborted_batch_skipped": (f"{_PROTOCOL}::test_everything_is_published_once",),
    "delivery_not_awaited": (f"{_CLIENT}::test_an_abort_has_its_cause",),
    "marker_not_written": (f"{_RESCORE}::test_aborts_and_crashes_change_nothing",),
    "marker_with_wrong_id": (f"{_RESCORE}::test_aborts_and_crashes_change_nothing",),
    "dead_letter_dropped_on_retry": (f"{_PROTOCOL}::test_everything_is_published_once",),
    "repeated_event_counts": ("tests/unit/test_lead.py::test_a_repeated_event_changes_nothing",),
    "restore_stops_at_empty_poll": ("tests/unit/test_recovery.py::test_a_poll_that_brings_nothing_is_not_the_end",),
    "restore_stops_early": ("tests/unit/test_topic_reader.py::test_reads_all_partitions_to_the_end_of_the_spans",),
    "producer_id_of_its_own": ("tests/integration/test_transaction.py::test_the_former_owner_is_fenced",),
    "replay_without_mark": ("tests/integration/test_dlq.py::test_running_again_sends_nothing_twice",),
}
"""Name of the patch, without `.patch`, -> the tests that each turn red."""


def patch_of(name: str) -> Path:
    """The file of a mutant."""
    return FOLDER / f"{name}.patch"
