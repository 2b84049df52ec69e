"""What leads do: single activities, or episodes of several. Both have the same mix of `(type, data)`.

A visit has several pages. A click follows its mail and starts a visit. A form comes with a profile and answers. A call
is followed by the answers it gave.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from scorer.domain.instant import SECOND

_PAGES = ("/", "/pricing", "/product/overview", "/product/tour", "/docs/start", "/blog/2025/spring", "/case-studies/a")
_CAMPAIGNS = ("spring-2025", "newsletter-march", "webinar-invitation")


def _page(random: Random, campaign: str | None = None) -> dict[str, Any]:
    page = random.choice(_PAGES)
    return {
        "url": f"https://www.example.com{page}?utm_source=mail&utm_campaign={campaign or random.choice(_CAMPAIGNS)}",
        "referrer": "https://www.example.com/",
        "seconds": random.randrange(3, 240),
    }


def _mail(random: Random, campaign: str | None = None) -> dict[str, Any]:
    campaign = campaign or random.choice(_CAMPAIGNS)
    return {"campaign": campaign, "url": f"https://mail.example.com/l/{campaign}/{random.randrange(1 << 40):x}"}


def _paper(random: Random) -> dict[str, Any]:
    return {"content": f"paper-{random.randrange(20)}", "kind": "whitepaper"}


def _form(random: Random) -> dict[str, Any]:
    return {"form": random.choice(("newsletter", "contact")), "url": "/contact"}


def _webinar(random: Random) -> dict[str, Any]:
    return {"name": "Planning live", "minutes": random.randrange(60)}


def _call(random: Random) -> dict[str, Any]:
    return {"outcome": random.choice(("reached", "no_answer")), "minutes": random.randrange(20)}


def _profile(random: Random) -> dict[str, Any]:
    return {
        "company": f"Company {random.randrange(10_000)} GmbH",
        "industry": random.choice(("manufacturing", "logistics", "retail", "finance")),
        "employees": random.choice((5, 40, 180, 700, 4_000)),
        "country": random.choice(("DE", "AT", "FR", "US")),
        "job_level": random.choice(("employee", "manager", "director", "executive")),
        "email_kind": random.choice(("business", "business", "free")),
    }


def _answers(random: Random) -> dict[str, Any]:
    return {
        "bant": {
            "budget_status": random.choice(("approved", "planned", "requested", "none")),
            "budget_amount": random.choice((10_000, 60_000, 150_000)),
            "authority": random.choice(("decision_maker", "influencer", "user")),
            "need": random.choice(("critical", "important", "useful")),
            "timeline_months": random.randrange(1, 24),
        }
    }


_MIX: tuple[tuple[float, str, Callable[[Random], dict[str, Any]]], ...] = (
    (0.56, "lead.page_viewed", _page),
    (0.20, "lead.email_opened", _mail),
    (0.10, "lead.email_clicked", _mail),
    (0.03, "lead.content_downloaded", _paper),
    (0.02, "lead.form_submitted", _form),
    (0.04, "lead.profile_updated", _profile),
    (0.03, "lead.qualification_updated", _answers),
    (0.01, "lead.webinar_attended", _webinar),
    (0.01, "lead.call_logged", _call),
)
_WEIGHTS = [weight for weight, _, _ in _MIX]


def single(random: Random) -> tuple[str, dict[str, Any]]:
    """A random activity."""
    ((_, kind, data),) = random.choices(_MIX, _WEIGHTS)
    return kind, data(random)


Step = tuple[int, str, dict[str, Any]]
"""Microseconds after the start of the episode, type, data."""

_PAGES_OF_A_VISIT = 3.0


def _visit(random: Random, campaign: str | None = None) -> Iterator[Step]:
    """Pages 20 seconds to 5 minutes apart, with a geometric number; sometimes a document, and a form at the end."""
    after = 0
    while True:
        yield after, "lead.page_viewed", _page(random, campaign)
        if random.random() < 1 / _PAGES_OF_A_VISIT:
            break
        after += random.randrange(20, 300) * SECOND
    if random.random() < 3 / _VISITS:
        after += random.randrange(10, 60) * SECOND
        yield after, "lead.content_downloaded", _paper(random)
    if random.random() < 2 / _VISITS:
        after += random.randrange(20, 120) * SECOND
        yield after, "lead.form_submitted", _form(random)
        yield after + SECOND, "lead.profile_updated", _profile(random)
        yield after + SECOND, "lead.qualification_updated", _answers(random)


def _open(random: Random) -> Iterator[Step]:
    yield 0, "lead.email_opened", _mail(random)


def _click(random: Random) -> Iterator[Step]:
    campaign = random.choice(_CAMPAIGNS)
    yield 0, "lead.email_opened", _mail(random, campaign)
    clicked = random.randrange(3, 60) * SECOND
    yield clicked, "lead.email_clicked", _mail(random, campaign)
    for after, kind, data in _visit(random, campaign):
        yield clicked + SECOND + after, kind, data


def _enrichment(random: Random) -> Iterator[Step]:
    yield 0, "lead.profile_updated", _profile(random)


def _attendance(random: Random) -> Iterator[Step]:
    yield 0, "lead.webinar_attended", _webinar(random)


def _conversation(random: Random) -> Iterator[Step]:
    yield 0, "lead.call_logged", _call(random)
    yield SECOND, "lead.qualification_updated", _answers(random)


_EPISODES: tuple[tuple[float, Callable[[Random], Iterator[Step]]], ...] = (
    (10, _open),
    (10, _click),
    (56 / _PAGES_OF_A_VISIT - 10, _visit),
    (2, _enrichment),
    (1, _attendance),
    (1, _conversation),
)
"""The number of each in a hundred activities. This gives the same types as `_MIX`."""
_VISITS = 56 / _PAGES_OF_A_VISIT
_EPISODE_WEIGHTS = [weight for weight, _ in _EPISODES]
MEAN_LENGTH = 100 / sum(_EPISODE_WEIGHTS)
"""Mean number of activities in an episode."""


def episode(random: Random) -> Iterator[Step]:
    """A random episode, in order of time."""
    ((_, begin),) = random.choices(_EPISODES, _EPISODE_WEIGHTS)
    return begin(random)
