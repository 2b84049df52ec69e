"""What consumers of decisions rely on: decisions of every version so far, and one of the future.

`decisions/N-*.jsonl` are decisions of version N of the contract. The code of these commits wrote them, with
`scorer score` over `decisions/activities.jsonl` by `decisions/rules.yaml`:

- `1-first`: 10bddfc, the first service. b678a64 and b5b95bb changed how decisions are written and give the same bytes.
- `1-texts`: f97f0e1, with new words in reasons.
- `1-evidence`: ae4f990, the first one that cuts long evidence.
- `1-time`: c8a2f51, with `--until 2026-07-01T00:00:00Z`, the first one with decisions by time; its last line, with the
  cause `rules_changed`, is from the evaluator.
- `2-life`: the first code with `status` and `escalated`, which were passed to `evaluation.contributions.decision`.

Later code does not write them again. A new version of the contract adds a file.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from pydantic import ValidationError

from scorer.domain.decision import LATEST_VERSION, read_decision
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import Promise
from scorer.evaluation.contributions import ContributionTemplates, decision
from scorer.stream.outbox import decision_message
from tests.contract.test_schemas import ROOT, validator
from tests.factory import activity, evaluator

SAMPLES: Final = {
    path.stem: path.read_bytes().splitlines()
    for path in sorted((Path(__file__).parent / "decisions").glob("[0-9]-*.jsonl"))
}
STRICT: Final = validator("decision.json")
TOLERANT: Final = validator("decision-tolerant.json")
NEW_KEYS: Final = ("status", "escalated", "schema_version")
PROMISED: Final = {
    "": "decision_id lead_id decided_at cause reference rating grade route queue respond_by routing score criteria "
    "contributions previous ruleset",
    "Contribution": "criterion rule points reason evidence",
    "Previous": "rating route score",
    "Reference": "source id type",
    "Routing": "rule reason",
    "RulesetReference": "name revision",
    "ScoreView": "total fit engagement",
}
"""The keys that a consumer finds in every decision of every version. Nothing is removed from this or added to it."""


def version(name: str) -> int:
    return int(name.partition("-")[0])


@pytest.mark.parametrize("name", SAMPLES)
def test_decisions_of_every_version_match_the_tolerant_schema(name: str) -> None:
    assert SAMPLES[name]
    for content in SAMPLES[name]:
        TOLERANT.validate(json.loads(content))


@pytest.mark.parametrize("name", SAMPLES)
def test_decisions_of_every_version_are_read_and_written_back_byte_for_byte(name: str) -> None:
    # Every version so far only adds keys, so the strict form of today contains them all.
    for content in SAMPLES[name]:
        STRICT.validate(json.loads(content))
        read = read_decision(content)
        assert read.schema_version == version(name)
        assert read.to_json() == content


def test_there_are_decisions_of_every_version_and_kind() -> None:
    parsed = [json.loads(content) for lines in SAMPLES.values() for content in lines]
    assert {version(name) for name in SAMPLES} == set(range(1, LATEST_VERSION + 1))
    assert {each["cause"] for each in parsed} == {"activity", "time", "rules_changed"}
    assert {each["route"] for each in parsed} == {"discard", "nurture", "sales"}
    assert {each["rating"] for each in parsed} == {"cold", "warm", "hot"}
    for key in ("reference", "queue", "respond_by", "previous"):
        assert {each[key] is None for each in parsed} == {True, False}
    for key in NEW_KEYS:
        assert {key in each for each in parsed} == {True, False}


def future() -> dict[str, Any]:
    """A decision of a version that does not exist yet: all that a minor version may add, at once."""
    made: dict[str, Any] = json.loads(SAMPLES["2-life"][0])
    made |= {"schema_version": 7, "priority": {"level": 3}, "status": "paused", "route": "partner", "rating": "boiling"}
    made |= {"cause": "outage", "grade": "E5", "escalated": 9}
    made["reference"] |= {"partition": 4}
    made["previous"] = {"rating": "boiling", "route": "partner", "score": 3, "grade": "E5"}
    made["score"]["trust"] = 9
    made["routing"]["owner"] = None
    made["ruleset"]["commit"] = "abc"
    made["criteria"]["trust"] = 9
    made["contributions"][0] |= {"weight": 0.5, "evidence": {"fact": {"value": None, "since": [1, {"a": "b"}]}}}
    return made


def test_a_decision_of_a_later_version_matches_the_tolerant_schema_alone() -> None:
    TOLERANT.validate(future())
    assert not STRICT.is_valid(future())
    with pytest.raises(ValidationError):
        read_decision(json.dumps(future()).encode())


def test_the_tolerant_schema_requires_what_was_promised_and_keeps_types() -> None:
    schema = json.loads((ROOT / "schemas" / "decision-tolerant.json").read_text())
    required = {name: part["required"] for name, part in schema["$defs"].items() if "required" in part}
    assert {"": schema["required"], **required} == {name: keys.split() for name, keys in PROMISED.items()}
    made = json.loads(SAMPLES["2-life"][1])
    for path in places(made):
        changed = json.loads(SAMPLES["2-life"][1])
        parent = changed
        for step in path[:-1]:
            parent = parent[step]
        # No value of a decision is a list of lists.
        parent[path[-1]] = [[]]
        assert not TOLERANT.is_valid(changed), path


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values except those in evidence."""
    if isinstance(part, Mapping):
        inner = [(each, (*path, name)) for name, each in part.items()]
    elif isinstance(part, list):
        inner = [(each, (*path, index)) for index, each in enumerate(part)]
    else:
        return []
    return [place for each, at in inner for place in (at, *([] if at[-1] == "evidence" else places(each, at)))]


@pytest.mark.parametrize("schema", PROMISED)
def test_no_promised_key_may_be_missing(schema: str) -> None:
    parents: Mapping[str, Callable[[Any], Any]] = {
        "": lambda made: made,
        "Contribution": lambda made: made["contributions"][0],
        "Previous": lambda made: made["previous"],
        "Reference": lambda made: made["reference"],
        "Routing": lambda made: made["routing"],
        "RulesetReference": lambda made: made["ruleset"],
        "ScoreView": lambda made: made["score"],
    }
    for key in PROMISED[schema].split():
        changed = json.loads(SAMPLES["2-life"][1])
        del parents[schema](changed)[key]
        assert not TOLERANT.is_valid(changed), key
        assert not STRICT.is_valid(changed), key


EVENT: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "decisions" / "activities.jsonl").read_text().splitlines()[0]
)


@pytest.mark.parametrize(
    "other",
    [None, 1, "", [], {}, EVENT, [json.loads(SAMPLES["1-first"][0])], {"decision": json.loads(SAMPLES["1-first"][0])}],
)
def test_other_things_are_not_decisions(other: object) -> None:
    assert not TOLERANT.is_valid(other)
    with pytest.raises(ValidationError):
        read_decision(json.dumps(other).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"status": None},
        {"status": 5},
        {"escalated": None},
        {"escalated": 0},
        {"escalated": "often"},
        {"schema_version": None},
        {"schema_version": 1},
    ],
)
def test_a_key_that_is_not_used_is_absent(change: dict[str, Any]) -> None:
    changed = json.loads(SAMPLES["2-life"][3]) | change
    assert not STRICT.is_valid(changed)
    assert not TOLERANT.is_valid(changed)
    with pytest.raises(ValidationError):
        read_decision(json.dumps(changed).encode())


def promise(level: int) -> Promise:
    """An open promise without an answer."""
    return Promise(0, 0, 0, None, level=level)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ({}, {}),
        ({"status": None, "promise": promise(0)}, {}),
        ({"status": "accepted"}, {"status": "accepted", "schema_version": 2}),
        ({"promise": promise(2)}, {"escalated": 2, "schema_version": 2}),
        (
            {"status": "handed_over", "promise": promise(1)},
            {"status": "handed_over", "escalated": 1, "schema_version": 2},
        ),
    ],
)
def test_new_keys_come_last_and_only_when_they_are_used(used: dict[str, Any], expected: dict[str, Any]) -> None:
    rules = evaluator()
    event = activity("trial_started", id="event-1")
    assessment = rules.assess(Lead("lead-1"), event)
    assert assessment.decision is not None
    assert assessment.evaluation is not None
    templates = ContributionTemplates(assessment.evaluation.ruleset)
    made = decision(assessment.evaluation, templates, "activity", event, **used)
    first = assessment.decision.to_json()
    added = msgspec.json.encode(expected)[1:-1]
    assert made.to_json() == first[:-1] + (b"," if added else b"") + added + b"}"
    assert b'"respond_by":null' in first
    assert read_decision(made.to_json()) == made
    headers = dict(decision_message(made, "lead.routing", "group", 0).headers)
    assert headers["schema_version"] == (b"2" if expected else b"1")
