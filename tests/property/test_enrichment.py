"""Whatever leads do and whenever profiles of companies change: in the end each lead has the present profile of its
company, nobody writes for ever, and the input alone gives the same leads again.

The model has one lead and two workers, of which one may know only older profiles. A worker may write an enrichment
that is written already and not read yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.enrichment import COMPANY_KEYS, COMPANY_PROFILE, ENRICHING
from scorer.domain.instant import MINUTE, SECOND
from scorer.domain.lead import Lead
from scorer.sources.cloudevents import parse_event
from scorer.sources.company.enrichment import as_event, company_of, enrichment
from scorer.sources.company.profile import Profile, read_profile
from tests.factory import MONDAY, activity

_domains = st.sampled_from(["a.com", "www.a.com", "b.com", "gmail.com", None])
_keys = st.fixed_dictionaries(
    {},
    optional={
        "industry": st.sampled_from(["Machines", "Software"]),
        "employees": st.integers(1, 3),
        "is_customer": st.booleans(),
    },
)
_seconds = st.integers(0, 20)
"""After the beginning. Workers know no time after 10, so senders may be ahead."""


@st.composite
def _said(draw: st.DrawFn) -> LeadActivity:
    """What a lead does."""
    kind = draw(st.sampled_from(["profile_updated", "profile_updated", "profile_updated", "page_viewed", "erased"]))
    data: dict[str, object] = {"url": "/"} if kind == "page_viewed" else {}
    if kind == "profile_updated":
        data = draw(_keys)
        if draw(st.booleans()):
            data["email_domain"] = draw(_domains)
    return activity(kind, data, day=draw(_seconds) / 86_400, source="web")


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), _said()),
        st.tuples(st.just("know"), st.tuples(st.sampled_from(["a.com", "b.com"]), _seconds, st.none() | _keys)),
        st.tuples(st.just("learn"), st.none()),
        st.tuples(st.just("write"), st.integers(0, 1)),
        st.tuples(st.just("read"), st.none()),
    ),
    max_size=30,
)


@dataclass
class Partition:
    """The input of one lead, how far it is read, and what two workers know of companies."""

    input: list[LeadActivity] = field(default_factory=list)
    lead: Lead = field(default_factory=lambda: Lead("lead-1"))
    read: int = 0
    profiles: tuple[dict[str, Profile], dict[str, Profile]] = field(default_factory=lambda: ({}, {}))

    def write(self, worker: int, now: int) -> bool:
        """Whether the lead was behind, so that there is an activity now."""
        company = company_of(self.lead)
        found = enrichment(self.lead, company, self.profiles[worker].get(company or ""), now)
        if found is not None:
            self.input.append(parse_event(as_event(found), now + MINUTE))
        return found is not None

    def advance(self) -> None:
        """Read one activity."""
        if self.read < len(self.input):
            self.lead = self.lead.apply(self.input[self.read])
            self.read += 1


def know(profiles: dict[str, Profile], key: str, seconds: int, data: object) -> None:
    """A record of the topic of profiles."""
    value = None if data is None else msgspec.json.encode(data)
    record = read_profile(key.encode(), value, MONDAY // 1000 + seconds * 1000)
    if record.profile is None:
        profiles.pop(key, None)
    else:
        profiles[key] = record.profile


@settings(max_examples=600)
@given(_steps)
def test_each_lead_ends_with_the_present_profile(steps: list[tuple[str, object]]) -> None:
    partition = Partition()
    first, second = partition.profiles
    now = MONDAY + 10 * SECOND
    for step, argument in steps:
        match step, argument:
            case "say", LeadActivity() as said:
                partition.input.append(said)
            case "know", (str() as key, int() as seconds, data):
                know(first, key, seconds, data)
            case "learn", _:
                second.clear()
                second.update(first)
            case "write", int() as worker:
                partition.write(worker, now)
            case _:
                partition.advance()
    written = 0
    while True:
        while partition.read < len(partition.input):
            partition.advance()
        if not partition.write(0, now):
            break
        written += 1
        assert written == 1, "one enrichment after all was read is enough"

    lead = partition.lead
    company = company_of(lead)
    profile = first.get(company or "")
    if not lead.is_erased and lead.clock > MONDAY - 1:
        assert lead.value(COMPANY_PROFILE) == (None if profile is None else profile.mark(company or ""))
    present = {} if profile is None else msgspec.json.decode(profile.data)
    alone = fold(activity for activity in partition.input if activity.source != ENRICHING)
    for key in COMPANY_KEYS:
        name = f"profile.{key}"
        fact = lead.facts.get(name)
        if fact is not None and fact.stamp.source == ENRICHING:
            assert fact.value == present.get(key)
        else:
            assert fact == alone.facts.get(name), "only what we state ourselves is another"
    assert (lead.clock, lead.seen_at, lead.erased_at) == (alone.clock, alone.seen_at, alone.erased_at)
    assert fold(partition.input) == lead


def fold(activities: Iterable[LeadActivity]) -> Lead:
    """The lead after these activities."""
    lead = Lead("lead-1")
    for each in activities:
        lead = lead.apply(each)
    return lead
