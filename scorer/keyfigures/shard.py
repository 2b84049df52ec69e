"""The shard of a report: the leads of one process."""

from collections.abc import Sequence
from typing import NamedTuple

from scorer.backtest.replay import ReplayShard
from scorer.backtest.tally import Tally
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.keyfigures.journeys import Journeys
from scorer.keyfigures.tally import KeyTally
from scorer.offline.place import Rejection
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.sources.cloudevents import MAX_BYTES


class Handled(NamedTuple):
    """The lines that were rejected, and the latest arrival so far, in microseconds since the epoch; None if there is
    no activity yet."""

    rejected: Sequence[Rejection]
    latest: int | None


class Counted(NamedTuple):
    """The counts of a shard: the outcomes as in a backtest, and the key figures."""

    outcomes: Tally
    figures: KeyTally

    def add(self, other: "Counted") -> None:
        """Add the counts of other leads."""
        self.outcomes.add(other.outcomes)
        self.figures.add(other.figures)


class ReportShard:
    """Replays the leads of one shard as a backtest of one ruleset does, and counts key figures on the way."""

    def __init__(self, evaluator: Evaluator, now: int, max_bytes: int = MAX_BYTES) -> None:
        """`now`, `max_bytes`: as in `ReplayShard`."""
        self._journeys = Journeys(evaluator)
        self._replay = ReplayShard([evaluator], now, max_bytes, self._journeys)

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> Handled:
        """Do one of the tasks of a backtest."""
        return Handled(self._replay.handle(task, places, lines), self._journeys.latest)

    def finish(self, until: int | None) -> Counted:
        """The counts, with what time alone decides until `until`, in microseconds since the epoch; None if there are no
        activities."""
        outcomes = self._replay.finish(until)
        return Counted(outcomes, self._journeys.take())


def report_shard(rules: RuleFiles, engine: EngineName | None, now: int, max_bytes: int = MAX_BYTES) -> ReportShard:
    """A shard of a report by these rules. `now`, `max_bytes`: as in `ReplayShard`."""
    return ReportShard(Evaluator(parse_ruleset(rules), default_engine(engine)), now, max_bytes)
