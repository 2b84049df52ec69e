"""Activities in, decisions out: what `scorer score` does with the leads of one shard."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from scorer.domain.instant import from_datetime
from scorer.domain.lead import Lead
from scorer.domain.unfitting_keys import UnfittingKeys
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.place import Rejection, activity_at
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.rejected import Rejected
from scorer.state.shelf import LeadShelf


class BlockDecisions(NamedTuple):
    """The results of some lines. `decisions` are JSON, each with a line end; `places` are the places that they
    came from, ascending. `unfitting`: what was dropped from the activities."""

    places: list[int]
    decisions: list[bytes]
    rejected: list[Rejection]
    unfitting: UnfittingKeys


class LateDecision(NamedTuple):
    """A decision by time after the lead's last activity. `decision` is JSON with a line end."""

    decided_at: str
    lead_id: str
    decision: bytes


def in_order_of_time(late: LateDecision) -> tuple[int, str]:
    """The key that sorts decisions by time, then by lead."""
    return from_datetime(datetime.fromisoformat(late.decided_at)), late.lead_id


class DecisionShard:
    """Scores the activities of its leads. `now`, in microseconds since the epoch: much later activities are rejected.
    `max_bytes`: so are longer ones."""

    def __init__(self, evaluator: Evaluator, now: int, max_bytes: int = MAX_BYTES) -> None:
        self._evaluator, self._shelf, self._now, self._max_bytes = evaluator, LeadShelf(), now, max_bytes

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> BlockDecisions:
        """Score the lines. A decision by time has the place of the next activity of its lead."""
        found = BlockDecisions([], [], [], UnfittingKeys())
        evaluator, shelf, now = self._evaluator, self._shelf, self._now
        for place, line in zip(places, lines, strict=True):
            try:
                activity, arrival = activity_at(place, line, now, self._max_bytes)
                lead = shelf.get(activity.lead_id) or Lead(activity.lead_id)
                assessment = evaluator.assess(lead, activity, arrival)
            except Rejected as error:
                found.rejected.append(Rejection(place, error.reason, error.detail))
                continue
            found.unfitting.note(place, evaluator.unfitting(activity))
            if assessment.lead is not lead:
                shelf.put(assessment.lead)
            if assessment.effects:
                for decision in assessment.decisions:
                    found.places.append(place)
                    found.decisions.append(decision.to_json() + b"\n")
        return found

    def finish(self, until: int | None = None) -> list[LateDecision]:
        """The decisions by time after the last activities, by lead, up to `until` (microseconds since the epoch; None:
        there are none). Then all leads are forgotten."""
        late: list[LateDecision] = []
        shelf, self._shelf = self._shelf, LeadShelf()
        if until is None:
            return late
        for lead_id in sorted(shelf.ids()):
            lead = shelf.get(lead_id)
            if lead is not None and self._evaluator.due(lead) <= until:
                late += [
                    LateDecision(decision.decided_at, lead_id, decision.to_json() + b"\n")
                    for decision in self._evaluator.catch_up(lead, until).decisions
                ]
        return late


def decision_shard(files: RuleFiles, engine: EngineName | None, now: int, max_bytes: int = MAX_BYTES) -> DecisionShard:
    """A shard that scores. `now` and `max_bytes`: as in `DecisionShard`."""
    return DecisionShard(Evaluator(parse_ruleset(files), default_engine(engine)), now, max_bytes)
