"""The source of topics that have activities in our own format: CloudEvents in any mode, with any key."""

from collections.abc import Iterable, Sequence
from typing import Final

from scorer.domain.activity import LeadActivity
from scorer.sources.cloudevents import Header, parse_any_key, parse_event, structured
from scorer.sources.event_batch import EventBatch
from scorer.sources.rejected import Rejected
from scorer.sources.source import Activity, Outcome
from scorer.sources.tick import TICK_TYPE

TICK: Final = "tick"
"""Why nothing comes of a tick."""


class OwnEvents:
    """Takes activities over as they are. One that the input would refuse is rejected here, where its sender is known.
    The kind of an event is not told apart, because types are not bounded."""

    name = "cloudevents"

    def outcomes(self, value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> Sequence[Outcome]:
        """See `Source`."""
        try:
            activity = parse_any_key(value, headers, now, max_bytes)
        except EventBatch as batch:
            return [_outcome(index, event, now, max_bytes) for index, event in enumerate(batch.events)]
        return [_of(None, activity, structured(value, headers))]


def _outcome(index: int, event: bytes, now: int, max_bytes: int) -> Outcome:
    try:
        activity = parse_event(event, now, max_bytes=max_bytes)
    except Rejected as rejected:
        return Outcome(index, "", rejected=rejected)
    return _of(index, activity, event)


def _of(index: int | None, activity: LeadActivity, event: bytes) -> Outcome:
    # The ticks of another scorer's input bring time into its log, and not into ours.
    if activity.type == TICK_TYPE:
        return Outcome(index, "", ignored=TICK)
    return Outcome(index, "", [Activity(activity.lead_id, activity.type, event)])
