"""Compares what the service committed with what `scorer score` computes from the same input."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY, to_text
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import EventBatch, parse_event, parse_record
from scorer.sources.rejected import Rejected
from tests.faults.oracle import Letter, Output, committed_output, decision_differences, state_differences
from tests.fuzz.feed import Fed
from tests.fuzz.records import Expected
from tests.fuzz.rules import rules_in
from tests.integration.kafka import Kafka, Names
from tests.integration.service import ROOT

_SHOWN: Final = 20
_CUT: Final = 65_536
Place = tuple[int, int]


class Checked(NamedTuple):
    """What a run came to. `problems` is empty if everything is as it must be."""

    good: int
    decisions: int
    reasons: Counter[str]
    problems: list[str]


def check(kafka: Kafka, names: Names, fed: Sequence[Fed], folder: Path, begin: int, end: int) -> Checked:
    """Compare decisions, dead letters and states with the offline ones. `begin`, `end`: microseconds since the epoch,
    when the service began and when it had processed everything. No worker may run."""
    in_order = sorted(fed, key=lambda one: (one.partition, one.offset))
    evaluator = Evaluator(load_ruleset(rules_in(folder)), default_engine("compiled"))
    judged = [_admitted(judgement, evaluator) for one in in_order for judgement in _judge(one, end)]
    problems = [problem for one in judged if (problem := _construction_problem(one))]
    # Whether an event is in the future depends on when it is processed. Then the dead letters decide here.
    sure = all(isinstance(one.result, Rejected) or one.result.time <= begin + DAY for one in judged)
    wanted = _scored((one.result for one in judged if isinstance(one.result, LeadActivity)), folder)
    rejected = sum(isinstance(one.result, Rejected) for one in judged)
    got, missing = _committed(kafka, names, sum(map(len, wanted.values())) if sure else 0, rejected)
    problems += missing
    letters: dict[Place, list[Letter]] = defaultdict(list)
    for letter, count in got.letters.items():
        letters[letter.partition, letter.offset] += [letter] * count
    good: list[LeadActivity] = []
    reasons: Counter[str] = Counter()
    for one in judged:
        made = letters.pop(one.place, []) if one.element is None else _letters_of_element(one, letters[one.place])
        if isinstance(one.result, Rejected):
            reasons[one.result.reason] += 1
            problems += [f"{one.where}: {problem}" for problem in _letter_problems(one.fed, one.result, made)]
        elif not made:
            good.append(one.result)
        elif one.result.time > begin + DAY:
            reasons["time_in_future"] += 1
        else:
            problems.append(f"{one.where}: an activity, but there is a dead letter: {made[0].reason}")
    problems += [f"{place}: a dead letter of no record: {left}" for place, left in letters.items() if left]
    problems += decision_differences(wanted if sure else _scored(good, folder), got.decisions)
    problems += state_differences(_folded(good, evaluator), got.states)
    shown = [problem[:1000] for problem in islice(problems, _SHOWN)]
    if len(problems) > _SHOWN:
        shown.append(f"… and {len(problems) - _SHOWN} more")
    return Checked(len(good), sum(map(len, got.decisions.values())), reasons, shown)


class _Judged(NamedTuple):
    """A record, or the element of a batch with this index."""

    fed: Fed
    result: LeadActivity | Rejected
    element: int | None = None

    @property
    def place(self) -> Place:
        return self.fed.partition, self.fed.offset

    @property
    def where(self) -> str:
        return f"{self.place}, {self.fed.record.what}"


def _judge(one: Fed, now: int) -> Iterable[_Judged]:
    record = one.record
    try:
        yield _Judged(one, parse_record(record.value, record.key, one.headers, now))
    except EventBatch as batch:
        for index, value in enumerate(batch.events):
            element = one._replace(record=record._replace(value=value))
            try:
                result: LeadActivity | Rejected = parse_event(value, now)
                if record.key is None:
                    result = Rejected("null_key", "")
                elif isinstance(result, LeadActivity) and record.key != result.lead_id.encode():
                    result = Rejected("key_mismatch", "")
            except Rejected as rejected:
                result = rejected
            yield _Judged(element, result, index)
    except Rejected as rejected:
        yield _Judged(one, rejected)


def _admitted(one: _Judged, evaluator: Evaluator) -> _Judged:
    """Refused if the rules do not allow its source."""
    try:
        if isinstance(one.result, LeadActivity):
            evaluator.admit(one.result)
    except Rejected as refused:
        return one._replace(result=refused)
    return one


def _letters_of_element(one: _Judged, left: list[Letter]) -> list[Letter]:
    """The dead letter of the element, taken from those of its batch."""
    for letter in left:
        if isinstance(one.result, Rejected) and (letter.reason, letter.value) == (
            one.result.reason,
            one.fed.record.value,
        ):
            left.remove(letter)
            return [letter]
    return []


def _construction_problem(one: _Judged) -> str | None:
    """Where the parser and the generator disagree."""
    expected, value = one.fed.record.expected, (one.fed.record.value or b"")[:200]
    if isinstance(one.result, Rejected) and one.result.reason == "source_not_allowed":
        return None
    if expected is Expected.GOOD and isinstance(one.result, Rejected):
        return f"{one.where}: valid by construction, but {one.result}: {value!r}"
    if expected is Expected.BAD and not isinstance(one.result, Rejected):
        return f"{one.where}: invalid by construction, but accepted: {value!r}"
    return None


def _committed(kafka: Kafka, names: Names, decisions: int, letters: int) -> tuple[Output, list[str]]:
    # A reader of noida-db may skip committed records after an aborted transaction. So it reads again if some miss.
    try:
        return committed_output(kafka, names, decisions, letters), []
    except AssertionError as error:
        return committed_output(kafka, names), [str(error)]


def _letter_problems(one: Fed, rejected: Rejected, made: Sequence[Letter]) -> Iterable[str]:
    if len(made) != 1:
        yield f"{len(made)} dead letters, expected one: {rejected}"
    for letter in made:
        if letter.reason != rejected.reason:
            yield f"the reason is {letter.reason}, expected {rejected.reason}"
        whole, value = one.record.value, letter.value
        if value != whole and (whole is None or value != whole[:_CUT]):
            yield f"the value is {(value or b'')[:200]!r}, expected {(whole or b'')[:200]!r}"
        if letter.key != one.record.key:
            yield f"the key is {letter.key!r}, expected {one.record.key!r}"


def _scored(activities: Iterable[LeadActivity], folder: Path) -> dict[str, list[bytes]]:
    """What the command says about these activities: the decisions of each lead."""
    given, made = folder / "activities.jsonl", folder / "decisions.jsonl"
    with given.open("wb") as file:
        for activity in activities:
            event = {
                "specversion": "1.0",
                "id": activity.id,
                "source": activity.source,
                "type": activity.type,
                "time": to_text(activity.time),
                "subject": activity.lead_id,
                "data": activity.data,
            }
            file.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    command = ["score", "--rules", str(rules_in(folder)), "--input", str(given), "--output", str(made)]
    done = subprocess.run([sys.executable, "-m", "scorer", *command], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, f"scorer score: {done.returncode}: {done.stderr.decode(errors='replace')[:4000]}"
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for line in made.read_bytes().split(b"\n"):
        if line:
            decisions[json.loads(line)["lead_id"]].append(line)
    return dict(decisions)


def _folded(activities: Iterable[LeadActivity], evaluator: Evaluator) -> dict[str, Lead]:
    leads: dict[str, Lead] = {}
    for activity in activities:
        lead = leads.get(activity.lead_id) or Lead(activity.lead_id)
        leads[activity.lead_id] = evaluator.assess(lead, activity).lead
    return {lead_id: lead for lead_id, lead in leads.items() if lead != Lead(lead_id)}
