"""Whatever a sender sends, a mapping answers with outcomes or refuses the record, and what it makes is an activity."""

import json
from contextlib import suppress
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.sources.cloudevents import MAX_BYTES, parse_line
from scorer.sources.company.job_titles import built_in_job_titles
from scorer.sources.mapping.converters import converters
from scorer.sources.mapping.language import MappingFile
from scorer.sources.mapping.loader import parse_mapping
from scorer.sources.rejected import Rejected
from scorer.sources.source import Source, SourceError

CONVERTERS = converters(built_in_job_titles())
NOW: Final = 1_800_000_000_000_000
KINDS: Final = """
kinds:
  - name: page
    when: {kind: [page, 1, true]}
    type: lead.page_viewed
    data: {url: "a.url || b", path: a.path, referrer: c, seconds: n}
  - name: profile
    when: {kind: profile}
    type: lead.profile_updated
    data:
      company: a
      employees: {path: n, as: employees}
      annual_revenue: {path: n, as: revenue}
      country: {path: b, as: country}
      job_level: c
      technologies: items
      is_customer: flag
      industry: {path: a, empty: withdraws}
      email_domain: {path: b, as: email_domain}
      email_kind: {path: b, as: email_kind}
      custom: {x: a, y: items, z: n}
    also:
      - {type: lead.merged, lead: a, held: true, data: {into: lead}}
      - {type: lead.custom.also, if: "length(items) > `1` && sum(items) > n", data: a}
  - name: deal
    when: {kind: deal}
    present: [a, n]
    type: lead.qualification_updated
    data: {bant: {budget_amount: n, need: {path: a, values: {1: critical}}}, project: {resources: b}}
  - {name: call, when: {kind: call}, type: lead.call_logged, data: {outcome: {value: reached}, minutes: n}}
  - {name: none, when: {kind: none}, ignore: is nothing}
otherwise: {type: {path: kind, prefix: lead.own.}, data: {all: {path: "[a, b][]", as: raw}, text: 'items[-1]'}}
"""
HEAD: Final = "description: T.\nlead: [lead, {path: b, as: email, prefix: 'x:'}]\nid: [id, \"n || a || 'x'\"]\n"
TIME: Final = "time: [time, {path: n, unit: s}]\n"
SHAPES: Final = [
    "",
    "unfold: items\n",
    "unfold: a[].b || @\n",
    "unfold_by_key: true\n",
    "json_text: [a, b.c]\n",
    "format: form\n",
    "format: csv\n",
    "format: tsv\ncolumns: [kind, lead, id, time, a, n]\n",
]
SOURCES: Final[list[Source]] = [
    parse_mapping("test", "test.yaml", f"{HEAD}{TIME}{shape}{KINDS}".encode(), CONVERTERS) for shape in SHAPES
]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.sampled_from(["", "a@b.de", "2026-01-31 09:30:00", "51-200", "Germany", "CTO", '{"b": 1}', "page", "1e9"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(["kind", "lead", "id", "time", "a", "b", "c", "n", "items", "flag", "url", "path"])
NAMES = st.sampled_from(["page", "profile", "deal", "call", "none", 1, True, "Größe?", ""])
VALUES = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3)
EVENTS = st.dictionaries(KEYS, VALUES, max_size=8).flatmap(
    lambda event: st.builds(
        lambda kind, usual: (
            {"lead": "l", "id": 1, "time": "2026-01-31T09:30:00Z", **event, "kind": kind}
            if usual
            else {**event, "kind": kind}
        ),
        NAMES,
        st.booleans(),
    )
)


def check(source: Source, value: bytes) -> None:
    try:
        outcomes = source.outcomes(value, (), NOW, MAX_BYTES)
    except Rejected:
        return
    assert outcomes
    for outcome in outcomes:
        made = [*outcome.activities, *outcome.held]
        # Each event has exactly one fate.
        assert (outcome.ignored is not None) + (outcome.rejected is not None) + bool(made) == 1
        for activity in made:
            parsed = accepted(activity.value)
            if parsed is not None:
                assert (parsed.source, parsed.lead_id, parsed.type) == ("test", activity.lead_id, activity.type)


def accepted(value: bytes) -> LeadActivity | None:
    """The activity; None if only its arrival in the input topic can tell whether it is one."""
    try:
        return parse_line(value, NOW)
    except Rejected as rejected:
        if rejected.reason != "time_in_future":
            raise
        return None


@given(st.lists(EVENTS, max_size=2) | EVENTS, st.sampled_from(SOURCES))
def test_events_give_activities_or_a_reason(record: Any, source: Source) -> None:
    check(source, json.dumps(record).encode())


@given(JSON, st.sampled_from(SOURCES))
def test_any_json_gives_outcomes_or_is_refused(record: Any, source: Source) -> None:
    check(source, json.dumps(record).encode())


@given(st.binary(max_size=300), st.sampled_from(SOURCES))
@example(b'{"lead": "\\ud800", "id": 1, "kind": "call", "time": "2026-01-31T09:30:00Z"}', SOURCES[0])
@example(b"a[][b][]=1&a[c]=2&a=3&[]=4&a[]]=5&a[[]=6&=7", SOURCES[5])
@example(b'lead,id,"kind\n"x"y,"', SOURCES[6])
@example(b"[" * 70 + b"]" * 70, SOURCES[0])
def test_any_bytes_give_outcomes_or_are_refused(value: bytes, source: Source) -> None:
    check(source, value)


@given(JSON | st.dictionaries(st.sampled_from(sorted(MappingFile.model_fields)), JSON))
def test_any_file_is_a_mapping_or_refused(content: Any) -> None:
    with suppress(SourceError):
        parse_mapping("test", "test.yaml", json.dumps(content).encode(), CONVERTERS)
