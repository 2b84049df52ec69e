"""The speed of rule evaluation: a scorecard of 50 rules, ours against other engines, and the cost of more rules.

All engines give the same points for every criterion of every lead; this is checked before the measurement.

    .venv/bin/python -m benchmarks.rule_core --leads 3000 --rounds 15
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

from benchmarks.measuring import progress, ratio, spread, take_turns
from benchmarks.results import Figure, Result, Target
from benchmarks.rule_engines import PEERS
from benchmarks.scorecard import NOW, PROBED, lead, leads, ruleset, scorecard
from scorer.domain.activity import LeadActivity, validate_data
from scorer.domain.instant import HOUR
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator

RULES = 50
SIZES = (20, 50, 100, 200)
CHANGED = "ours, a fact changed"
REMEMBERED = "ours, facts unchanged"
FRESH = "ours, fresh engine"
PLAIN = "durable_rules, plain"


def over(items: Sequence[Any], call: Callable[[Any], object]) -> Callable[[int], None]:
    """Call it for that many items, cyclically, from where it stopped."""
    endless = cycle(items)

    def run(count: int) -> None:
        for item in islice(endless, count):
            call(item)

    return run


def engines(result: Result, count: int, rounds: int) -> None:
    """Compare ours with each peer: seconds to score a lead."""
    criteria = scorecard(RULES)
    facts = leads(count)
    rules = Evaluator(ruleset(criteria), default_engine("durable"))
    changed = [lead(number, values) for number, values in enumerate(facts)]
    remembered = [rules.annotated(changed_lead) for changed_lead in changed]
    expected = [[rated.points for rated in rules.evaluate(changed_lead, NOW).criteria] for changed_lead in changed]
    contenders: dict[str, Callable[[int], None]] = {
        CHANGED: over(changed, lambda changed_lead: rules.evaluate(changed_lead, NOW)),
        REMEMBERED: over(remembered, lambda changed_lead: rules.evaluate(changed_lead, NOW)),
    }
    for peer in PEERS:
        progress(f"checking {peer.name} on {count:,} leads")
        decide = peer.make(criteria)
        prepared = [peer.prepare(values) for values in facts]
        for number, (given, wanted) in enumerate(zip(prepared, expected, strict=True)):
            if (answer := decide(given)) != wanted:
                raise SystemExit(f"{peer.name} and ours disagree on lead {number}: {answer}, expected {wanted}")
        contenders[peer.name] = over(prepared, decide)

    def fresh(passes: int) -> None:
        for _ in range(passes):
            new_evaluator = Evaluator(ruleset(criteria), default_engine("durable"))
            for changed_lead in changed:
                new_evaluator.evaluate(changed_lead, NOW)

    progress("measuring")
    times = take_turns(contenders, rounds=rounds)
    result.figures.append(Figure(CHANGED, 1e6 * statistics.median(times[CHANGED]), "µs", 1.0, group="a lead scored"))
    for name, seconds in times.items():
        if name != CHANGED:
            against = ratio(seconds, times[CHANGED])
            result.figures.append(Figure.of(name, 1e6 * statistics.median(seconds), "µs", against, "a lead scored"))
    first = spread([total / count for total in take_turns({FRESH: fresh}, rounds=min(5, rounds))[FRESH]])
    of_changed = statistics.median(times[CHANGED])
    result.figures.append(Figure(FRESH, 1e6 * first.median, "µs", first.median / of_changed, group="a lead scored"))
    result.notes.append(
        f"{FRESH}: the ruleset is loaded, its tables are registered with durable_rules, and each of {count:,} leads is "
        "scored once."
    )
    for bound, peers in ((25, ("zen-engine, decision tables", "zen-engine, one expression")), (150, (PLAIN,))):
        for name in peers:
            for ours in (REMEMBERED, CHANGED):
                measured = ratio(times[name], times[ours]).median
                result.targets.append(Target(f"{name} / {ours}", bound, measured))


def growth(result: Result, count: int, rounds: int) -> None:
    """The cost of an activity that affects few rules, by the size of the scorecard."""
    contenders: dict[str, Callable[[int], None]] = {}
    for size in SIZES:
        rules = Evaluator(ruleset(scorecard(size)), default_engine("durable"))
        touching: tuple[tuple[str, str, dict[str, object]], ...] = (
            ("page view", "lead.page_viewed", {"url": "/pricing"}),
            ("one field changed", "lead.profile_updated", {PROBED.partition(".")[2]: "executive"}),
        )
        for what, kind, data in touching:
            pairs = quiet(rules, [assessed(number, rules) for number in range(count)], kind, data)
            contenders[f"{what}, {size} rules"] = over(pairs, partial(_assess, rules))
    progress("measuring what more rules cost")
    times = take_turns(contenders, rounds=rounds)
    for what in ("page view", "one field changed"):
        least = times[f"{what}, {SIZES[0]} rules"]
        for size in SIZES:
            seconds = times[f"{what}, {size} rules"]
            figure = Figure.of(f"{size} rules", 1e6 * statistics.median(seconds), "µs", ratio(seconds, least))
            figure.group = f"an activity assessed, {what} (against {SIZES[0]} rules)"
            result.figures.append(figure)
        most = ratio(times[f"{what}, {SIZES[-1]} rules"], least).median
        result.targets.append(Target(f"{what}: {SIZES[-1]} rules / {SIZES[0]} rules", 2, most, at_least=False))
    result.notes.append(
        "The time to assess an activity. Only activities without a decision are used, because a decision names every "
        "rule that held."
    )


def _assess(rules: Evaluator, pair: tuple[Lead, LeadActivity]) -> object:
    return rules.assess(*pair)


def assessed(number: int, rules: Evaluator) -> Lead:
    """A lead that the service has assessed before."""
    known = lead(number, _FACTS[number])
    return rules.assess(known, activity(f"first-{number}", known.id, "lead.page_viewed", {"url": "/about"}, 1)).lead


def quiet(rules: Evaluator, known: list[Lead], kind: str, data: dict[str, object]) -> list[tuple[Lead, LeadActivity]]:
    """Leads, each with an activity that changes its state but publishes no decision."""
    pairs = []
    for number, known_lead in enumerate(known):
        event = activity(f"second-{number}", known_lead.id, kind, data, 2)
        assessment = rules.assess(known_lead, event)
        if assessment.decision is None and assessment.lead is not known_lead:
            pairs.append((known_lead, event))
    if len(pairs) < len(known) // 10:
        raise SystemExit(f"only {len(pairs)} of {len(known)} activities lead to no decision; too few to measure")
    return pairs


def activity(name: str, lead_id: str, kind: str, data: dict[str, object], hours: int) -> LeadActivity:
    """An activity some hours after the facts were stated."""
    return LeadActivity(name, "/bench", kind, NOW + hours * HOUR, lead_id, validate_data(kind, data))


_FACTS: list[Any] = []


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    heading = f"time / {CHANGED}"
    result = Result("rule_core", f"Rule core: a scorecard of {RULES} rules", heading, vars(options))
    engines(result, options.leads, options.rounds)
    _FACTS.extend(leads(options.leads))
    growth(result, options.leads, options.rounds)
    result.finish()


if __name__ == "__main__":
    main()
