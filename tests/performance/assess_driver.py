"""The process whose instructions `test_assess_cost.py` counts: a fixed reference, then `assess` over fixed activities.

Its argument is a library with `start` and `stop`, which control the counter. Each pair of calls gives one count.
"""

import ctypes
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.traffic import HEADERS, RULES, histories, traffic
from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record

LEADS = 30
ACTIVITIES = 150
"""Activities per count. The driver counts once and twice this number, so that the difference excludes fixed costs."""
REFERENCE = 1_000


@dataclass(frozen=True, slots=True)
class _Point:
    x: int
    y: float
    name: str


def reference(count: int) -> None:
    """Work like that of `assess`. Its code never changes, so its cost is a stable unit."""
    names = {f"field.{number}": number for number in range(40)}
    keys = list(names)
    point = _Point(0, 0.0, "")
    for number in range(count):
        name = keys[number % 40]
        codes = tuple([names[key] for key in keys[:8]])
        point = replace(point, x=point.x + names.get(name, 0), y=point.y * 0.5 + codes[3], name=name)
        names = {**names, name: number}


def fold(
    leads: dict[str, Lead], activities: Sequence[LeadActivity], evaluator: Evaluator, *, twice: bool = False
) -> None:
    """Apply the activities to copies of the leads. With `twice`, every other activity is assessed twice, which is 1.5
    times the work."""
    states = dict(leads)
    for number, activity in enumerate(activities):
        lead = states[activity.lead_id]
        if twice and number % 2:
            evaluator.assess(lead, activity)
        states[activity.lead_id] = evaluator.assess(lead, activity).lead


def main(library: str) -> None:
    """Count the reference, `assess` and slowed `assess`, each for a number of steps and for twice that number."""
    marks = ctypes.CDLL(library)
    evaluator = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    leads = {lead.id: lead for lead in histories(LEADS, evaluator=evaluator, even=True)}
    far = 1 << 60
    activities = [
        parse_record(value, lead_id.encode(), HEADERS, far)
        for lead_id, value in traffic(2 * ACTIVITIES, LEADS, even=True)
    ]
    half = activities[:ACTIVITIES]
    # Run once first, so that every answer is remembered: the counts are those of normal operation.
    fold(leads, activities, evaluator)
    gc.collect()
    gc.disable()
    for count in (REFERENCE, 2 * REFERENCE):
        marks.start()
        reference(count)
        marks.stop()
    for twice in (False, True):
        for batch in (half, activities):
            marks.start()
            fold(leads, batch, evaluator, twice=twice)
            marks.stop()


if __name__ == "__main__":
    main(sys.argv[1])
