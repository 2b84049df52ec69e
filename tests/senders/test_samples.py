"""Each documented event of each platform becomes exactly the expected activities, which our own parser accepts."""

import json

import pytest

from scorer.sources.cloudevents import parse_event
from tests.senders.samples import NOW, Sample, outcomes, readable, samples


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_a_sample_becomes_the_expected_activities(sample: Sample) -> None:
    result = outcomes(sample.platform, sample.value)
    assert [readable(outcome) for outcome in result] == json.loads(sample.expected.read_text())
    for outcome in result:
        for activity in (*outcome.activities, *outcome.held):
            parsed = parse_event(activity.value, NOW)
            assert (parsed.lead_id, parsed.type) == (activity.lead_id, activity.type)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_every_event_of_a_sample_is_an_activity_or_has_a_reason(sample: Sample) -> None:
    for outcome in outcomes(sample.platform, sample.value):
        assert outcome.activities or outcome.held or outcome.ignored
        assert outcome.rejected is None
