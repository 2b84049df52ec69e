"""The demo's market: the same for a seed, plausible, and readable except for a few broken records."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from scorer.demo.market import Record, activities, write_jsonl
from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.instant import DAY, HOUR, from_datetime, to_datetime
from scorer.domain.lead import Lead
from scorer.domain.score import Rating
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected

START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = from_datetime(datetime(2026, 6, 1, tzinfo=UTC))
RULES = Path(__file__).parents[2] / "rules" / "b2b"
EVENTS = 40_000
LEADS = 4_000


@pytest.fixture(scope="module")
def records() -> Sequence[Record]:
    return list(activities(1, LEADS, START, events=EVENTS))


@pytest.fixture(scope="module")
def read(records: Sequence[Record]) -> tuple[Sequence[LeadActivity], Counter[str]]:
    """What the service reads from the records: activities in order of arrival, and rejections by reason."""
    good: list[LeadActivity] = []
    rejected: Counter[str] = Counter()
    for record in records:
        try:
            good.append(parse_record(record.value, record.key, record.headers, LATER))
        except Rejected as error:
            rejected[error.reason] += 1
    return good, rejected


def test_a_seed_gives_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib, datetime; from scorer.demo.market import activities\n"
        "digest = hashlib.sha256()\n"
        "for record in activities(7, 300, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), events=4000):\n"
        "    digest.update(record.key + record.value)\n"
        "print(digest.hexdigest())"
    )
    digest = hashlib.sha256()
    for record in activities(7, 300, START, events=4000):
        digest.update(record.key + record.value)
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        process = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert process.stdout.strip() == digest.hexdigest()


def test_another_seed_gives_another_market() -> None:
    assert list(activities(1, 50, START, events=200)) != list(activities(2, 50, START, events=200))


def test_a_longer_stream_starts_with_the_shorter_one() -> None:
    shorter = list(activities(3, 100, START, events=500))
    assert list(activities(3, 100, START, events=900))[:500] == shorter


def test_exactly_the_given_leads_join() -> None:
    keys = {record.key for record in activities(5, 40, START, events=4000)}
    assert keys == {f"L-{n:06d}".encode() for n in range(1, 41)}


def test_nothing_happens_after_the_end() -> None:
    end = START + timedelta(days=60)
    times = []
    for record in activities(1, 500, START, until=end):
        try:
            times.append(parse_record(record.value, record.key, record.headers, LATER).time)
        except Rejected:
            continue
    assert from_datetime(START) <= min(times)
    assert from_datetime(end) - 3 * DAY < max(times) <= from_datetime(end)


@pytest.mark.parametrize(("leads", "start"), [(0, START), (-1, START), (10, datetime(2024, 1, 1))])
def test_an_impossible_market_is_rejected(leads: int, start: datetime) -> None:
    with pytest.raises(ValueError, match=r"lead|zone"):
        activities(1, leads, start)


def test_every_kind_of_activity_occurs(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    types = Counter(activity.type for activity in read[0])
    assert types.keys() >= PAYLOADS.keys()
    assert types["lead.merged"] + types["lead.erased"] < 0.002 * EVENTS


def test_a_few_records_are_broken_and_every_way_occurs(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    rejected = read[1]
    assert rejected.keys() == {
        "empty_value",
        "invalid_data",
        "missing_attribute",
        "not_json",
        "not_utf8",
        "time_in_future",
        "unknown_type",
    }
    assert 0.002 < rejected.total() / EVENTS < 0.004


def test_some_activities_are_repeated_byte_for_byte(
    records: Sequence[Record], read: tuple[Sequence[LeadActivity], Counter[str]]
) -> None:
    repeated = Counter((activity.source, activity.id) for activity in read[0])
    assert 0.005 < sum(count - 1 for count in repeated.values()) / EVENTS < 0.02
    whole = Counter(record.value for record in records if record.value)
    assert sum(count - 1 for count in whole.values()) == sum(count - 1 for count in repeated.values())


def test_some_activities_arrive_hours_or_days_late(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    latest, behind = 0, []
    for activity in read[0]:
        latest = max(latest, activity.time)
        behind.append(latest - activity.time)
    late = [delay for delay in behind if delay > HOUR]
    assert 0.01 < len(late) / len(behind) < 0.04
    assert max(late) > 2 * DAY


def test_a_few_leads_cause_a_large_share_of_the_activities(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    counts = sorted(Counter(activity.lead_id for activity in read[0]).values(), reverse=True)
    assert sum(counts[: len(counts) // 10]) > 0.3 * sum(counts)
    assert sum(1 for count in counts if count <= 3) > 0.15 * len(counts)


def test_most_activities_are_in_office_hours(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    moments = [to_datetime(activity.time) for activity in read[0]]
    assert sum(moment.weekday() >= 5 for moment in moments) < 0.15 * len(moments)
    assert sum(7 <= moment.hour < 20 for moment in moments) > 0.75 * len(moments)


def test_many_leads_attend_the_same_webinar(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    attended = sorted({(a.time, a.lead_id) for a in read[0] if a.type == "lead.webinar_attended"})
    days = {time // DAY for time, _ in attended}
    assert len(attended) > 5 * len(days)
    assert all(later - day >= 14 for day, later in pairwise(sorted(days)))


def test_gateways_open_and_click_in_bursts(read: tuple[Sequence[LeadActivity], Counter[str]]) -> None:
    clicks = sorted({(a.lead_id, a.time) for a in read[0] if a.type == "lead.email_clicked" and a.data.get("machine")})
    gaps = [second - first for (a, first), (b, second) in pairwise(clicks) if a == b]
    assert len(clicks) > 100
    assert sum(gap < 1_000_000 for gap in gaps) > 0.5 * len(gaps)


def test_the_default_rules_find_a_few_hot_leads_among_many_cold_ones(
    read: tuple[Sequence[LeadActivity], Counter[str]],
) -> None:
    ruleset = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    leads: dict[str, Lead] = {}
    for activity in read[0]:
        if int(activity.lead_id[2:]) % 4:
            continue  # every fourth lead is enough
        leads[activity.lead_id] = ruleset.assess(leads.get(activity.lead_id) or Lead(activity.lead_id), activity).lead
    ratings = Counter(lead.published.rating for lead in leads.values() if lead.published is not None)
    shares = {rating: count / ratings.total() for rating, count in ratings.items()}
    assert 0.5 < shares[Rating.COLD] < 0.8
    assert 0.12 < shares[Rating.WARM] < 0.4
    assert 0.02 < shares[Rating.HOT] < 0.14


def test_a_file_has_one_activity_per_line(tmp_path: Path) -> None:
    path = tmp_path / "market.jsonl"
    assert write_jsonl(path, 1, 100, START, 2000) == 2000
    lines = path.read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert len(lines) == 2001
    assert all(lines[:-1])
    again = tmp_path / "again.jsonl"
    write_jsonl(again, 1, 100, START, 2000)
    assert again.read_bytes() == path.read_bytes()
