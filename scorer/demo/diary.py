"""The vocabulary of the personas: it records what one lead does, in event time."""

from collections.abc import Sequence
from math import exp
from random import Random
from statistics import NormalDist
from typing import NamedTuple, TypeVar

from scorer.demo.names import Company
from scorer.domain.instant import DAY, HOUR, SECOND

WEBSITE = "/website"
MAIL = "/marketing-automation"
CRM = "/crm"
EVENTS = "/webinar-platform"

MINUTE = 60 * SECOND
_WEEK = 7 * DAY
_MONDAY = 4 * DAY  # 1970-01-05 was the first Monday of the epoch

WEBINARS = (
    "planning-without-spreadsheets",
    "inventory-that-breathes",
    "from-forecast-to-order",
    "customer-story-live",
)
CAMPAIGNS = ("monthly-letter", "benchmark-report", "webinar-invitation", "product-news", "customer-stories")


T = TypeVar("T")

_DWELLING = [int(exp(3.4 + 0.9 * NormalDist().inv_cdf((n + 0.5) / 256))) for n in range(256)]
"""Seconds on a page: quantiles of a log-normal distribution with median 30 and a tail of a few minutes."""


class Happening(NamedTuple):
    """One thing that happened. `time` in microseconds since the epoch."""

    time: int
    source: str
    type: str
    data: dict[str, object]


class Diary:
    """Collects what a lead does while its clock advances. `now` is in microseconds since the epoch.

    `at_work`: the lead is active on weekdays in office hours; otherwise also in the evening and at weekends.
    """

    def __init__(self, rng: Random, now: int, *, at_work: bool = True) -> None:
        self.rng = rng
        self._random = rng.random
        self.now = now
        self.at_work = at_work
        self.entries: list[Happening] = []

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self._random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """A random option."""
        return options[int(self._random() * len(options))]  # half the time of `Random.choice`

    def wait(self, days: float) -> None:
        """Let about that many days pass, then move to a plausible hour."""
        before = self.now
        day = (before + int(self.rng.expovariate(1 / days) * DAY)) // DAY
        weekday = (day + 3) % 7
        if self.at_work and weekday >= 5:
            day += 7 - weekday
        hour = self.rng.triangular(7.5, 18.5, 10.5) if self.at_work else self.rng.triangular(9, 23.9, 20)
        self.now = day * DAY + int(hour * HOUR)
        if self.now <= before:
            self.now = before + self.rng.randrange(2 * MINUTE, 90 * MINUTE)

    def pause(self, shortest: int, longest: int) -> None:
        """Let some seconds pass."""
        self.now += int((shortest + self._random() * (longest - shortest)) * 1000) * 1000

    def note(self, source: str, activity: str, **data: object) -> None:
        """Record an activity that happens now; keys with the value None are left out."""
        sent = {key: value for key, value in data.items() if value is not None}
        self.entries.append(Happening(self.now, source, f"lead.{activity}", sent))

    def view(self, *paths: str, referrer: str | None = None) -> None:
        """View pages one after another."""
        for path in paths:
            seconds = self.pick(_DWELLING)
            self.note(
                WEBSITE,
                "page_viewed",
                url=f"https://www.loomwork.example{path}",
                seconds=seconds,
                referrer=referrer,
            )
            referrer = None
            self.now += (seconds + 2) * SECOND + int(self._random() * 1000) * 1000

    def browse(self, paths: tuple[str, ...], typical: float) -> None:
        """View a heavy-tailed number of pages from `paths`; the median is `typical`."""
        pages = min(40, max(1, int(self.rng.lognormvariate(0, 0.8) * typical)))
        self.view(*[self.pick(paths) for _ in range(pages)])

    def mail(self, company: Company | None, opens: float = 0.4, clicks: float = 0.25) -> None:
        """Receive the next campaign mail, sent on Tuesday at nine; perhaps open it and follow its link."""
        sent = (self.now - _MONDAY - DAY - 9 * HOUR) // _WEEK * _WEEK + _WEEK + _MONDAY + DAY + 9 * HOUR
        campaign = CAMPAIGNS[sent // _WEEK % len(CAMPAIGNS)]
        self.now = sent + self.rng.randrange(200_000) * 1000
        if company is not None and company.has_gateway:
            self._gateway(campaign)
        if self.chance(opens):
            # Half of the opens come within two hours: the burst after a campaign.
            self.now += int(self.rng.lognormvariate(4.5, 1.2) * MINUTE)
            self.note(MAIL, "email_opened", campaign=campaign)
            if self.chance(clicks):
                self.pause(5, 90)
                self.note(
                    MAIL,
                    "email_clicked",
                    campaign=campaign,
                    url=f"https://www.loomwork.example/go/{campaign}",
                )
                self.pause(1, 4)
                self.view(f"/blog/{campaign}", referrer="https://mail.loomwork.example/")

    def _gateway(self, campaign: str) -> None:
        self.note(MAIL, "email_opened", campaign=campaign, machine=True)
        for link in ("go", "unsubscribe", "imprint"):
            self.now += self.rng.randrange(100, 900) * 1000
            url = f"https://www.loomwork.example/{link}/{campaign}"
            self.note(MAIL, "email_clicked", campaign=campaign, url=url, machine=True)
        self.pause(1, 5)

    def webinar(self) -> None:
        """Attend the next webinar: every second Thursday at two."""
        fortnight = 2 * _WEEK
        first = _MONDAY + 3 * DAY + 14 * HOUR
        begins = (self.now - first) // fortnight * fortnight + fortnight + first
        self.now = begins + self.rng.randrange(600) * SECOND
        minutes = self.rng.randrange(8, 61)
        name = WEBINARS[begins // fortnight % len(WEBINARS)]
        self.note(EVENTS, "webinar_attended", name=name, minutes=minutes)
        self.now += minutes * MINUTE
