"""Activities in, decisions out: what `scorer score` does with the leads of one shard."""

from collections.abc import Sequence
from typing import NamedTuple

from scorer.domain.lead import Lead
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.place import activity_at
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.sources.rejected import Rejected
from scorer.state.shelf import LeadShelf


class Rejection(NamedTuple):
    """A line, or an event of a batch, that is not an activity or that the rules refuse, by its place."""

    place: int
    reason: str
    detail: str


class BlockDecisions(NamedTuple):
    """The results of some lines. `decisions` are JSON, each with a line end; `places` are the places that they
    came from, ascending."""

    places: list[int]
    decisions: list[bytes]
    rejected: list[Rejection]


class DecisionShard:
    """Scores the activities of its leads. `now` in microseconds since the epoch: much later activities are rejected."""

    def __init__(self, evaluator: Evaluator, now: int) -> None:
        self._evaluator, self._shelf, self._now = evaluator, LeadShelf(), now

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> BlockDecisions:
        """Score the lines."""
        found = BlockDecisions([], [], [])
        evaluator, shelf, now = self._evaluator, self._shelf, self._now
        for place, line in zip(places, lines, strict=True):
            try:
                activity = activity_at(place, line, now)
                lead = shelf.get(activity.lead_id) or Lead(activity.lead_id)
                assessment = evaluator.assess(lead, activity)
            except Rejected as error:
                found.rejected.append(Rejection(place, error.reason, error.detail))
                continue
            if assessment.lead is not lead:
                shelf.put(assessment.lead)
            if assessment.decision is not None:
                found.places.append(place)
                found.decisions.append(assessment.decision.to_json() + b"\n")
        return found

    def finish(self) -> None:
        """Nothing to return: every decision was returned with its lines."""


def decision_shard(files: RuleFiles, engine: EngineName | None, now: int) -> DecisionShard:
    """A shard that scores. `now` in microseconds since the epoch."""
    return DecisionShard(Evaluator(parse_ruleset(files), default_engine(engine)), now)
