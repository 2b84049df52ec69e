"""Promises in business time: what rules can say, and when a lead must have heard from us."""

import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from scorer.domain.effects import HandedOver
from scorer.domain.instant import DAY, HOUR, MINUTE, from_datetime, to_text
from scorer.domain.lead import Lead
from scorer.explain.story import explain_lead
from scorer.explain.wording import promise_text
from scorer.figures.periods import Periods
from scorer.lint import analyse
from scorer.rules import holiday_dates, zones
from scorer.rules.calendar import BusinessCalendar, after
from scorer.rules.finding import RulesetError
from scorer.rules.loader import parse_ruleset, parse_with_source
from scorer.rules.ruleset import Period
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator, ruleset

HEAD = "ruleset: r\nratings: {warm: 1, hot: 2}\n"
ROUTING = (
    "routing:\n  - {id: hot, when: {rating: hot}, route: sales, queue: inside, respond_within: %s}\n"
    "  - {id: end, route: nurture}\n"
)
OFFICE = (
    "calendar: {zone: Europe/Berlin, days: [mon-fri], hours: 09:00-18:00, holidays: DE-BY, closed: [2026-12-28], "
    "open: {2026-12-31: 09:00-13:00, 2026-11-28: 10:00-12:00}}\n"
)
TRIAL = "signals: {trial: {activity: trial_started, points: 9}}\n"


def office(text: str = OFFICE) -> BusinessCalendar:
    calendar = ruleset(HEAD + ROUTING % "4h" + text).calendar
    assert calendar is not None
    return calendar


def instant(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def due(within: str, start: str, calendar: str = OFFICE) -> str:
    """When the lead that was handed over at `start` must have heard from us."""
    judge = evaluator(HEAD + TRIAL + ROUTING % within + calendar)
    now = instant(start)
    assessment = judge.assess(Lead("lead-1"), activity("trial_started", day=(now - MONDAY) / DAY), now)
    (decision,) = assessment.decisions
    (handed_over,) = (effect for effect in assessment.effects if isinstance(effect, HandedOver))
    assert handed_over.respond_by is not None
    assert decision.respond_by == to_text(handed_over.respond_by)
    return decision.respond_by


@pytest.mark.parametrize(
    ("within", "start", "expected"),
    [
        ("4h", "2026-11-27T10:00+01:00", "2026-11-27T14:00+01:00"),
        # Half of it on Friday. Saturday is open for once, and its closing time is soon enough.
        ("4h", "2026-11-27T16:00+01:00", "2026-11-28T12:00+01:00"),
        ("4h", "2026-11-29T10:00+01:00", "2026-11-30T13:00+01:00"),
        ("4h", "2026-12-03T03:00+01:00", "2026-12-03T13:00+01:00"),
        ("4h", "2026-12-03T14:00+01:00", "2026-12-03T18:00+01:00"),
        ("4h", "2026-12-03T18:00+01:00", "2026-12-04T13:00+01:00"),
        # Christmas, a weekend, and a day that the company is closed.
        ("4h", "2026-12-24T16:00+01:00", "2026-12-29T11:00+01:00"),
        # Half a day before New Year, which is a Friday.
        ("4h", "2026-12-31T12:00+01:00", "2027-01-04T12:00+01:00"),
        # Epiphany is a holiday in Bavaria only.
        ("30m", "2027-01-06T12:00+01:00", "2027-01-07T09:30+01:00"),
        # A day is a business day: nine hours.
        ("1d", "2026-12-02T10:30+01:00", "2026-12-03T10:30+01:00"),
        ("1d", "2026-12-05T20:00+01:00", "2026-12-07T18:00+01:00"),
        ("0.5d", "2026-12-07T09:00+01:00", "2026-12-07T13:30+01:00"),
        ("1w", "2026-12-01T11:00+01:00", "2026-12-08T11:00+01:00"),
        # The clocks change between Friday and Monday.
        ("1d", "2026-03-27T16:00+01:00", "2026-03-30T16:00+02:00"),
        ("1d", "2026-10-23T16:00+02:00", "2026-10-26T16:00+01:00"),
    ],
)
def test_promises_count_business_time(within: str, start: str, expected: str) -> None:
    assert due(within, start) == to_text(instant(expected))


def test_without_a_calendar_all_time_counts() -> None:
    assert due("4h", "2026-11-27T16:00:00Z", "") == "2026-11-27T20:00:00Z"
    assert due("1d", "2026-11-27T16:00:00Z", "") == "2026-11-28T16:00:00Z"
    assert after(None, 5, 7) == 12


@pytest.mark.parametrize(
    ("start", "span", "expected"),
    [
        # 02:00 to 03:00 does not exist on 29 March, and is there twice on 25 October.
        ("2026-03-29T01:00+01:00", 90 * MINUTE, "2026-03-29T03:30+02:00"),
        ("2026-10-25T01:00+02:00", 90 * MINUTE, "2026-10-25T02:30+02:00"),
        ("2026-10-25T01:00+02:00", 150 * MINUTE, "2026-10-25T02:30+01:00"),
        ("2026-03-28T12:00+01:00", 24 * HOUR, "2026-03-29T13:00+02:00"),
        ("2026-10-24T12:00+02:00", 24 * HOUR, "2026-10-25T11:00+01:00"),
    ],
)
def test_on_days_when_the_clocks_change_real_hours_count(start: str, span: int, expected: str) -> None:
    always = office("calendar: {zone: Europe/Berlin, days: mon-sun, hours: 00:00-24:00}\n")
    assert to_text(always.after(instant(start), span)) == to_text(instant(expected))
    assert always.business_time(instant(start), instant(expected)) == span


@pytest.mark.parametrize(
    ("start", "expected"),
    [("2026-03-29T01:00+01:00", "2026-03-30T02:10+02:00"), ("2026-10-25T01:00+02:00", "2026-10-25T02:10+02:00")],
)
def test_hours_that_the_clock_skips_do_not_count(start: str, expected: str) -> None:
    night = office('calendar: {zone: Europe/Berlin, days: mon-sun, hours: ["02:00-02:30", "02:30-03:00"]}\n')
    assert to_text(night.after(instant(start), 10 * MINUTE)) == to_text(instant(expected))


def test_business_time_is_the_measure_of_what_passed() -> None:
    calendar = office()
    friday, tuesday = instant("2026-11-27T17:00+01:00"), instant("2026-12-01T10:00+01:00")
    assert calendar.business_time(friday, tuesday) == (1 + 2 + 9 + 1) * HOUR
    assert calendar.business_time(tuesday, friday) == 0
    assert calendar.business_time(instant("2026-01-01T00:00Z"), instant("2029-01-01T00:00Z")) == sum(
        min(9, hours) * HOUR for hours in business_hours(date(2026, 1, 1), date(2028, 12, 31))
    )


def business_hours(first: date, last: date) -> list[int]:
    """The hours of each day in the example."""
    own = {date(2026, 12, 28): 0, date(2026, 12, 31): 4, date(2026, 11, 28): 2}
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    holiday = {
        date(1970, 1, 1) + timedelta(days=n) for y in (2026, 2027, 2028) for n in holiday_dates.holiday_days("DE-BY", y)
    }
    return [own.get(day, 0 if day.weekday() > 4 or day in holiday else 9) for day in days]


def test_the_longest_promise_from_the_latest_arrival_has_an_end() -> None:
    calendar = office("calendar: {zone: Asia/Kathmandu, days: sat, hours: 09:00-10:00, holidays: NP}\n")
    assert to_text(calendar.after(instant("9000-12-31T00:00Z"), 365 * HOUR)).startswith("9007-12-")
    # What no rules can say: nobody opens.
    assert BusinessCalendar("UTC", frozenset(), ()).after(0, HOUR) > 0


def test_another_zone_is_another_instant() -> None:
    here, there = (f"calendar: {{zone: {zone}, days: mon-fri, hours: 09:00-18:00}}\n" for zone in ("UTC", "Asia/Tokyo"))
    assert due("1h", "2026-12-01T00:30:00Z", here) == "2026-12-01T10:00:00Z"
    assert due("1h", "2026-12-01T00:30:00Z", there) == "2026-12-01T01:30:00Z"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{zone: Europe/Berln}", "r.yaml:6:18: error: `Europe/Berln` is not a time zone"),
        ("{zone: europe/berlin}", "(an IANA name, as in Europe/Berlin); did you mean Europe/Berlin?"),
        ("{zone: ../zones}", "`../zones` is not a time zone"),
        ("{days: [mon, fry]}", "`fry` is neither a day nor a range of days; write mon-fri, or sat"),
        ("{days: [1]}", "`days` must be a valid string, not 1"),
        ("{days: []}", "`days` must not be empty"),
        ("{hours: 9-18}", "`9-18` are not opening hours; write them as in 09:00-18:00"),
        ("{hours: 9}", "`9` are not opening hours; write them as in 09:00-18:00"),
        ("{hours: 18:00-09:00}", '`18:00-09:00` ends before it begins; write hours past midnight as two, as in ["22:'),
        ("{hours: 09:00-09:00}", "`09:00-09:00` ends before it begins"),
        ("{hours: [09:00-12:00, 11:00-13:00]}", "09:00-12:00 and 11:00-13:00 overlap"),
        ("{hours: 09:00-24:01}", "`09:00-24:01` are not opening hours"),
        ("{hours: []}", "`hours` must not be empty"),
        ("{holidays: Germany}", "`Germany` is not a country whose holidays are known"),
        ("{holidays: Germny}", "as in DE-BY); did you mean DE?"),
        ("{holidays: DEU}", "did you mean DE?"),
        ("{holidays: de-by}", "did you mean DE?"),
        ("{holidays: DE-XY}", "`DE-XY` is not a subdivision of DE (BB, BE, BW, BY,"),
        ("{holidays: US-ny}", "did you mean NY?"),
        ("{holidays: DE-}", "`DE-` is not a subdivision of DE"),
        ("{holidays: QA-X}", "the holidays of QA are known as a whole only; write QA"),
        (
            "{closed: [2026-02-30]}",
            "r.yaml:6:21: error: `2026-02-30` is not a date; write year, month and day, as in 2026-12-24",
        ),
        ("{closed: ['2026-2-3']}", "`2026-2-3` is not a date"),
        ("{closed: [2026-02-03T00:00:00Z]}", "is not a date"),
        ("{closed: [20260203]}", "`closed` must be a valid string, not 20260203"),
        ("{closed: [2300-01-01]}", "`2300-01-01` is out of range; dates go from 1970 to 2199"),
        ("{open: {2026-02-30: 09:00-10:00}}", "`2026-02-30` is not a date"),
        ("{open: {2026-02-03: 9}}", "`9` are not opening hours"),
        ("{open: {2026-02-03: []}}", "must not be empty"),
        ("{open: {2026-02-03: 09:00-10:00}, closed: [2026-02-03]}", "2026-02-03 is in `closed` too; keep one of them"),
        ("{zones: UTC}", "unknown key `zones`; did you mean zone?"),
    ],
)
def test_a_mistake_in_a_calendar_is_a_finding(line: str, expected: str) -> None:
    keys = {"zone": "UTC", "days": "mon-fri", "hours": "09:00-18:00"}
    rest = "".join(f", {key}: {value}" for key, value in keys.items() if f"{{{key}:" not in line)
    found = findings(f"{HEAD}{ROUTING % '4h'}calendar: {line[:-1]}{rest}}}\n")
    assert len(found) == 1, found
    assert expected in found[0]


def findings(text: str) -> list[str]:
    with pytest.raises(RulesetError) as caught:
        parse_ruleset({"r.yaml": text.encode()})
    return [str(finding) for finding in caught.value.findings]


def test_a_calendar_without_an_open_hour_is_refused() -> None:
    thursdays = (date(2027, 1, 7) + timedelta(weeks=number) for number in range(52))
    closed = f"calendar: {{zone: UTC, days: thu, hours: 09:00-10:00, closed: [{', '.join(map(str, thursdays))}]"
    expected = "r.yaml:6:1: error: the calendar has no opening hour in 2027, so a promise could never be kept or broken"
    assert findings(f"{HEAD}{ROUTING % '4h'}{closed}}}\n") == [expected]
    assert office(f"{closed}, open: {{2027-07-03: 09:00-10:00}}}}\n").usual_day == HOUR


@pytest.mark.parametrize(
    ("escalate", "within", "expected"),
    [
        (
            "[{after: 1d}, {after: 9h}]",
            "4h",
            "`9h` is not later than the step before; write the steps in order of time",
        ),
        ("[{after: 1h}, {after: 60m}]", "4h", "`60m` is not later than the step before"),
        ("[{queue: lead}]", "4h", "`after` is missing"),
        ("[{after: 4}]", "4h", "`after` must be a duration"),
        ("[{after: 4h, queu: x}]", "4h", "unknown key `queu`; did you mean queue?"),
        ("[{after: 1y}]", "4h", "`1y`: with a `calendar`, write hours, days or weeks"),
        ("[]", "366d", "`366d` is out of range; with a `calendar`, write at most 365d, which are business days"),
        ("[]", "3286h", "`3286h` is out of range"),
        ("[]", "~", "`escalate` needs `respond_within`: the promise that can be broken"),
        (f"[{', '.join(f'{{after: {hours}h}}' for hours in range(1, 7))}]", "4h", "can have at most 5 entries, not 6"),
    ],
)
def test_a_mistake_in_an_escalation_is_a_finding(escalate: str, within: str, expected: str) -> None:
    found = findings(HEAD + ROUTING % f"{within}, escalate: {escalate}" + OFFICE)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("r.yaml:4:")


def test_only_sales_can_be_asked_to_answer() -> None:
    text = HEAD + "routing: [{id: end, route: nurture, respond_within: 1h, escalate: []}]\n"
    assert findings(text) == [
        "r.yaml:3:57: error: `escalate` needs `route: sales`: only sales is asked to answer",
    ]


def test_steps_of_an_escalation_are_business_time_with_a_calendar() -> None:
    text = HEAD + ROUTING % "1d, escalate: [{after: 4h, queue: team}, {after: 1d}]"
    with_calendar, without = ruleset(text + OFFICE).routing[0], ruleset(text).routing[0]
    assert (with_calendar.respond_within, with_calendar.escalate) == (9 * HOUR, ((4 * HOUR, "team"), (9 * HOUR, None)))
    assert (without.respond_within, without.escalate) == (24 * HOUR, ((4 * HOUR, "team"), (24 * HOUR, None)))
    assert ruleset(HEAD + ROUTING % "1d, escalate: []").routing[0].escalate == ()
    assert ruleset(HEAD + ROUTING % "1d").routing[0].escalate is None


def test_a_calendar_has_one_revision_however_it_is_written() -> None:
    text = HEAD + ROUTING % "4h"
    written = ruleset(text + OFFICE)
    otherwise = (
        "calendar:\n  holidays: DE-BY\n  open: {'2026-11-28': [10:00-12:00], 2026-12-31: [12:00-13:00, 09:00-12:00]}\n"
        "  days: [fri, mon-thu]\n  hours: ['12:00-18:00', '09:00-12:00']\n  closed: ['2026-12-28', 2026-12-28]\n"
        "  zone: Europe/Berlin\n"
    )
    assert ruleset(text + otherwise).revision == written.revision
    assert ruleset(text + otherwise).calendar == written.calendar
    assert ruleset(text + OFFICE.replace("Berlin", "Paris")).revision != written.revision


def test_other_data_is_another_revision_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HEAD + ROUTING % "4h"
    texts = [plain, plain + OFFICE.replace("holidays: DE-BY, ", ""), plain + OFFICE]
    before = [ruleset(text).revision for text in texts]
    monkeypatch.setattr(holiday_dates, "version", lambda: "0.1")
    later = [ruleset(text).revision for text in texts]
    assert [was == now for was, now in zip(before, later, strict=True)] == [True, True, False]
    monkeypatch.setattr(zones, "VERSION", "1999.1")
    last = [ruleset(text).revision for text in texts]
    assert [was == now for was, now in zip(later, last, strict=True)] == [True, False, False]


def test_rules_without_a_calendar_keep_their_revision() -> None:
    assert ruleset(SMALL_RULES).revision == "dfa7d01bfe68e1bed76312178807103a3960843af059d22e10239fc7fe7d4cec"


def test_the_zones_are_not_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    zones.zone.cache_clear()
    assert str(zones.zone("America/Argentina/Ushuaia")) == "America/Argentina/Ushuaia"
    with pytest.raises(KeyError):
        zones.zone("Europe/Berln")


def test_rules_that_escalate_differently_are_different() -> None:
    rules = "routing:\n" + "".join(
        f"  - {{id: {name}, when: {{{when}}}, route: sales, respond_within: {within}, reason: x, escalate: {steps}}}\n"
        for name, when, within, steps in (
            ("a", "rating: hot, profile.employees: {gte: 9}", "1h", "[]"),
            ("b", "rating: hot, profile.employees: {gte: 5}", "60m", "[]"),
            ("c", "rating: hot", "1h", "[{after: 1h}]"),
        )
    )
    loaded, source = parse_with_source({"r.yaml": f"{HEAD}{TRIAL}{rules}  - {{id: end, route: nurture}}\n".encode()})
    assert [each.message.partition(" ")[0] for each in analyse(loaded, source) if each.code == "redundant"] == ["`a`"]


@pytest.mark.parametrize(
    ("within", "calendar", "expected"),
    [
        ("1d", OFFICE, "9 hours of business time"),
        ("3d", OFFICE, "27 hours of business time"),
        ("1h", OFFICE, "1 hour of business time"),
        ("90m", OFFICE, "90 minutes of business time"),
        ("1d", "", "1 day"),
    ],
)
def test_the_explanation_says_that_it_is_business_time(within: str, calendar: str, expected: str) -> None:
    judge = evaluator(HEAD + TRIAL + ROUTING % within + calendar)
    event = activity("trial_started")
    story = explain_lead(Lead("lead-1").apply(event, judge.hits(event), judge.kept_facts), judge)
    assert promise_text(story.routing) == expected
    # The key is there only if it is true, so that stories without a calendar are as before.
    assert story.routing.model_dump().get("in_business_time") == (True if calendar else None)


def test_the_examples_of_the_page_are_what_happens() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rule-language.md").read_text()
    part = page.partition("### Business time")[2].partition("\n### ")[0]
    calendar = part.partition("```yaml\n")[2].partition("routing:")[0]
    rows = re.findall(r"^\| \w{3} (\S+) (\S+) \| `(\w+)` \| (\w{3}) (\S+) (\S+) \|", part, re.MULTILINE)
    assert len(rows) == 9
    for day, time, within, weekday, due_day, due_time in rows:
        start, expected = (
            datetime.fromisoformat(f"{each}T{clock}").replace(tzinfo=zones.zone("Europe/Berlin"))
            for each, clock in ((day, time), (due_day, due_time))
        )
        assert f"{expected:%a}" == weekday
        assert due(within, start.isoformat(), calendar) == to_text(from_datetime(expected))


def test_a_period_passes_by_business_time() -> None:
    weeks = Periods("Europe/Berlin", Period.WEEK, office())
    monday = instant("2026-11-16T00:00+01:00")
    week = weeks.period_of(weeks.day_of(monday))
    assert [
        weeks.elapsed_share(week, instant(text))
        for text in (
            "2026-11-16T09:00+01:00",
            "2026-11-17T18:00+01:00",
            "2026-11-20T18:00+01:00",
            "2026-11-22T12:00+01:00",
        )
    ] == [0, 0.4, 1, 1]
