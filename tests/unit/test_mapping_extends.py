"""A mapping that extends a delivered one, and kinds that make an activity of each item of a list."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scorer.offline.source_files import load_source
from scorer.sources.company.job_titles import built_in_job_titles
from scorer.sources.mapping.converters import converters
from scorer.sources.mapping.loader import parse_mapping
from scorer.sources.source import Outcome, SourceError
from tests.senders.samples import NOW

CONVERTERS = converters(built_in_job_titles())
MAX_BYTES = 100_000
OWN = """
description: Segment, and what our shop calls its events
extends: segment
kinds:
  - name: booked_demo
    when: {type: track, event: Booked Demo}
    type: lead.demo_requested
  - name: trial_started
    when: {type: track, event: [Trial Started, Trial Opened]}
    type: lead.trial_started
    data: {product: {value: Everything}}
"""
MERGES = """
description: test
lead: id
id: id
time: {path: time, unit: s}
kinds:
  - {name: merge, each: losers, type: lead.merged, held: true, lead: item, data: {into: id}}
"""


def own_mapping(folder: Path, text: str) -> Path:
    """A folder of rules with `sources/segment.yaml`."""
    (folder / "sources").mkdir()
    (folder / "sources" / "segment.yaml").write_text(text)
    return folder


def track(name: str) -> bytes:
    event = {"type": "track", "event": name, "userId": "u-1", "messageId": "m-1", "timestamp": "2026-03-02T09:30:00Z"}
    return json.dumps(event).encode()


def merged(losers: Any) -> Sequence[Outcome]:
    source = parse_mapping("test", "test.yaml", MERGES.encode(), CONVERTERS)
    value = json.dumps({"id": "w", "time": 1_772_000_000, "losers": losers}).encode()
    return source.outcomes(value, (), NOW, MAX_BYTES)


@pytest.mark.parametrize(
    ("name", "type_", "data"),
    [
        ("Booked Demo", "lead.demo_requested", {}),
        ("Trial Opened", "lead.trial_started", {"product": "Everything"}),
        ("Trial Started", "lead.trial_started", {"product": "Everything"}),
        ("Signed In", "lead.signed_in", {}),
        ("Price compared", "lead.track.price_compared", {}),
    ],
)
def test_own_kinds_come_before_the_delivered_ones(tmp_path: Path, name: str, type_: str, data: object) -> None:
    source = load_source("segment", own_mapping(tmp_path, OWN))
    (outcome,) = source.outcomes(track(name), (), NOW, MAX_BYTES)
    event = json.loads(outcome.activities[0].value)
    assert (event["type"], event["data"]) == (type_, data)


def test_other_keys_replace_the_delivered_ones(tmp_path: Path) -> None:
    folder = own_mapping(tmp_path, "extends: segment\nlead: {path: userId, prefix: 'shop:'}\n")
    (outcome,) = load_source("segment", folder).outcomes(track("Signed In"), (), NOW, MAX_BYTES)
    assert outcome.activities[0].lead_id == "shop:u-1"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("description: x\nextends: segmnt\n", "2:10: error: there is no delivered mapping `segmnt`"),
        ("extends: segment\nkinds:\n  - {name: a, when: {type: x}, tpe: lead.x}\n", "3:32: error: unknown key `tpe`"),
        ("extends: 7\n", "1:10: error: "),
        ("extends: segment\nkinds: none\n", "2:8: error: "),
    ],
)
def test_mistakes_have_the_position_in_the_own_file(tmp_path: Path, text: str, finding: str) -> None:
    with pytest.raises(SourceError) as error:
        load_source("segment", own_mapping(tmp_path, text))
    assert any(finding in str(each) for each in error.value.findings), error.value.findings


def test_each_item_of_the_list_becomes_an_activity_with_an_id_of_its_own() -> None:
    (outcome,) = merged(["a", 7, "w", {}, "b"])
    events = [json.loads(activity.value) for activity in outcome.held]
    # `w` is the lead that remains, and {} is no id.
    assert [(event["subject"], event["id"], event["data"]) for event in events] == [
        ("a", "w:0", {"into": "w"}),
        ("7", "w:1", {"into": "w"}),
        ("b", "w:4", {"into": "w"}),
    ]
    assert [dropped.key for dropped in outcome.dropped] == ["each"]


@pytest.mark.parametrize("losers", [None, [], "a", {"a": 1}, ["w"]])
def test_an_event_without_items_is_ignored(losers: object) -> None:
    (outcome,) = merged(losers)
    assert (outcome.ignored, outcome.rejected, list(outcome.held)) == ("no_items", None, [])


def test_what_is_over_the_bound_is_counted() -> None:
    (outcome,) = merged([f"l-{number}" for number in range(17)])
    assert len(outcome.held) == 16
    assert [tuple(dropped) for dropped in outcome.dropped] == [("each", "too_long")]


def test_also_has_no_place_beside_each() -> None:
    with pytest.raises(SourceError, match="no meaning beside `each`"):
        parse_mapping("test", "test.yaml", MERGES.replace("held: true", "also: [{type: lead.x}]").encode(), CONVERTERS)
