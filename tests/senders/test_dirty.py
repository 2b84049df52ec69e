"""Real data is dirty. One bad key never costs the event, and nobody loses a value without a count."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from scorer.sources.cloudevents import parse_event
from scorer.sources.source import Outcome
from tests.senders.dirty import damaged
from tests.senders.samples import NOW, outcomes, platforms, samples

EVENTS = 2_000
SHARE = 0.2


def keys(outcome: Outcome) -> dict[str, set[str]]:
    """The keys of the data, by the type of the activity. Those of `custom` count by themselves."""
    found: dict[str, set[str]] = {}
    for activity in (*outcome.activities, *outcome.held):
        data: dict[str, Any] = json.loads(activity.value)["data"]
        found.setdefault(activity.type, set()).update(data)
    return found


def lost(clean: Sequence[Outcome], dirty: Sequence[Outcome]) -> set[str]:
    """The keys that only the clean record has, of activities that both have."""
    return {
        key
        for before, after in zip(clean, dirty, strict=True)
        for kind, names in keys(after).items()
        for key in keys(before).get(kind, set()) - names
    }


@pytest.mark.parametrize("platform", platforms())
def test_one_bad_key_in_a_fifth_of_the_events_costs_no_event(platform: str) -> None:
    random = Random(18)
    stream = samples(platform)
    bad = dropped = 0
    for _ in range(EVENTS):
        sample = random.choice(stream)
        value = sample.value
        if random.random() < SHARE:
            bad += 1
            value = damaged(sample, random)
        result = outcomes(platform, value)
        for outcome in result:
            assert outcome.activities or outcome.held or outcome.ignored, (sample.name, value)
            for activity in (*outcome.activities, *outcome.held):
                parse_event(activity.value, NOW)
            dropped += len(outcome.dropped)
        counted = {key for outcome in result for key, _ in outcome.dropped}
        # Some custom types take a whole object of the event as their data.
        if value != sample.value and "data" not in counted:
            assert lost(outcomes(platform, sample.value), result) <= counted, (sample.name, value)
    assert bad > EVENTS * SHARE * 0.8
    assert dropped > 0
