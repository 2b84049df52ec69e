"""Ids of events of different kinds: two different events never have the same one."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis.strategies import lists, permutations, sampled_from, tuples

from scorer.sources.cloudevents import MAX_BYTES
from tests.unit.test_mapping import NOW, source

KINDS = """
description: Test.
lead: lead
id: [a]
time: time
kinds:
  - {name: one, when: {kind: one}, type: lead.custom.one, also: [{type: lead.custom.more}]}
  - {name: two, when: {kind: two}, type: lead.custom.two, id: [a, b]}
  - {name: three, when: {kind: three}, type: lead.custom.three, id: [a, b, c], each: items}
  - {name: four, when: {kind: four}, type: lead.custom.four, id: [a, b, c, d]}
"""
LENGTHS = {"one": 1, "two": 2, "three": 3, "four": 4}
MAPPING = source(KINDS, "")
PART = lists(sampled_from(["a", "0", "1", "15", "16", ":", "sha256"]), min_size=1, max_size=4).map("".join)
EVENT = sampled_from(list(LENGTHS)).flatmap(
    lambda kind: tuples(*[PART] * LENGTHS[kind]).map(lambda parts: (kind, *parts))
)


def ids(kind: str, parts: Sequence[str]) -> list[str]:
    event = {"kind": kind, "lead": "l", "time": "2026-01-31T09:30:00Z", "items": [1, 2]}
    event |= dict(zip("abcd", parts, strict=False))
    (outcome,) = MAPPING.outcomes(json.dumps(event).encode(), (), NOW, MAX_BYTES)
    return [json.loads(activity.value)["id"] for activity in outcome.activities]


@given(lists(EVENT, min_size=2, max_size=6, unique=True))
@example([("one", "a:b"), ("two", "a", "b")])
@example([("one", "a"), ("two", "a", "1")])
@example([("two", "a", "b:c:d"), ("four", "a", "b", "c", "d")])
@example([("three", "a", "b", "c"), ("four", "a", "b", "c", "0")])
def test_events_of_different_kinds_never_have_the_same_id(known: list[tuple[str, ...]]) -> None:
    # Kinds of as many parts say the same by the same parts, and here each number of parts has one kind.
    found = [id_ for kind, *parts in known for id_ in ids(kind, parts)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("kind", "parts", "written"),
    [
        ("one", ["a"], "a"),
        ("two", ["a", "b"], "a:b"),
        ("three", ["a", "b", "c"], "a:b:c"),
        ("four", ["a", "b", "c", "2026-01-31T09:30:00Z"], "a:b:c:2026-01-31T09:30:00Z"),
    ],
)
def test_an_id_that_no_other_event_can_have_is_its_parts(kind: str, parts: list[str], written: str) -> None:
    assert ids(kind, parts)[0] in (written, f"{written}:0")


def test_kinds_that_a_part_of_the_id_tells_apart_keep_their_ids() -> None:
    text = KINDS.replace("id: [a]", "id: [kind, a]").replace("[a, b, c]", "[kind, a, b, c]")
    mapping = source(text.replace("id: [a, b]", "id: [kind, a, b]").replace("[a, b, c, d]", "[kind, a, b, c, d]"), "")
    event = {"kind": "one", "lead": "l", "time": "2026-01-31T09:30:00Z", "a": "2026-01-31T09:30:00Z"}
    (outcome,) = mapping.outcomes(json.dumps(event).encode(), (), NOW, MAX_BYTES)
    assert json.loads(outcome.activities[0].value)["id"] == "one:2026-01-31T09:30:00Z"


@given(permutations(KINDS.strip().splitlines()[-4:]))
def test_the_order_of_the_kinds_changes_no_id(kinds: list[str]) -> None:
    text = "\n".join([*KINDS.strip().splitlines()[:-4], *kinds])
    event = {"kind": "one", "lead": "l", "time": "2026-01-31T09:30:00Z", "a": "x:y"}
    (outcome,) = source(text, "").outcomes(json.dumps(event).encode(), (), NOW, MAX_BYTES)
    assert json.loads(outcome.activities[0].value)["id"] == ids("one", ["x:y"])[0]
