"""Whether each broken promise was escalated once a level at its instant. It is computed from what was published and
from the input alone, without any state, and business time minute by minute."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from aiokafka import ConsumerRecord

from scorer.domain.decision import read_decision
from scorer.domain.instant import to_text
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.arrival import TOO_LATE, arrival_of, is_stamped, log_time_after
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.tick import is_tick
from tests.faults.cooling import COOLING_RULES
from tests.plain_promises import Escalation, Plan, Told, escalated, escalations
from tests.plain_time import OfficeHours


def plans_of(rules: Path = COOLING_RULES, office: OfficeHours | None = None) -> dict[str, Plan]:
    """What the routing rules promise."""
    plans = {}
    for rule in load_ruleset(rules).routing:
        if rule.respond_within is not None and rule.escalate is not None:
            own = rule.queue or ""
            plans[rule.id] = Plan(rule.respond_within, [(span, to or own) for span, to in rule.escalate], own, office)
    return plans


def escalation_differences(
    records: "Iterable[ConsumerRecord[bytes, bytes]]",
    decisions: Mapping[str, Sequence[bytes]],
    plans: Mapping[str, Plan],
    reached: Mapping[int, int],
    tolerance: int,
) -> tuple[list[str], int]:
    """One line for each lead with other escalations than it must have, and how many there are of all. `reached`: by
    partition, the instant up to which nothing may be missing."""
    stories: dict[str, list[Told]] = defaultdict(list)
    home: dict[str, int] = {}
    log_times: dict[int, int | None] = {}
    for record in sorted(records, key=attrgetter("partition", "offset")):
        partition = record.partition
        log_time = log_times[partition] = log_time_after(log_times.get(partition), record)
        if is_tick(record.value):
            continue
        try:
            latest = log_time if is_stamped(record) and log_time is not None else TOO_LATE
            activity = parse_record(record.value, record.key, record.headers, latest)
        except Rejected:
            continue
        arrival = arrival_of(record, log_time, activity.time)
        arrival = activity.time if arrival is None else arrival
        time = min(activity.time, arrival + tolerance)
        stories[activity.lead_id].append(Told(arrival, time, activity.type, (activity.source, activity.id)))
        home[activity.lead_id] = partition
    problems, count = [], 0
    for lead_id, story in sorted(stories.items()):
        said = [read_decision(value) for value in decisions.get(lead_id, ())]
        got = escalated(said)
        wanted = escalations(story, said, plans, TOO_LATE)
        due = sum(escalation.decided_at <= reached[home[lead_id]] for escalation in wanted)
        count += len(got)
        if got != wanted[: len(got)] or len(got) < due:
            problems.append(f"lead {lead_id}: escalated {_texts(got)}, expected {_texts(wanted)}, {due} of them by now")
    return problems, count


def _texts(escalations: Iterable[Escalation]) -> list[str]:
    return [f"{to_text(instant)} level {level} to {queue}" for instant, level, queue in escalations]
