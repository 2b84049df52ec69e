"""The profiles of companies as a worker knows them: a table in memory, filled from the topic of companies."""

from collections import Counter
from collections.abc import Collection
from typing import Final

from aiokafka import ConsumerRecord

from scorer.domain.unfitting import Drop
from scorer.sources.company.profile import Profile, read_profile
from scorer.sources.rejected import Rejected

_SLACK: Final = 2
"""How often the allowed number of companies may be in memory while the topic is read."""


class TooManyError(Exception):
    """The topic has profiles of more companies than the settings allow."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the topic has profiles of more than {most:,} companies (SCORER_COMPANY_PROFILES)")


class Findings:
    """What reading some records found, with the place of the first one of each kind."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        """By field and reason. Both are bounded, and so is the reason of a rejection."""
        self.rejected: Counter[str] = Counter()
        self.first_rejected: tuple[str, str] | None = None
        """Its place and what is wrong."""
        self.first_dropped: str | None = None

    def refuse(self, place: str, rejected: Rejected) -> None:
        """Note a record that is no profile."""
        self.outcomes["rejected"] += 1
        self.rejected[rejected.reason] += 1
        if self.first_rejected is None:
            self.first_rejected = place, rejected.detail

    def drop(self, place: str, drops: Collection[Drop]) -> None:
        """Note the keys of a profile that do not fit."""
        self.dropped.update((drop.field, drop.reason) for drop in drops)
        if drops and self.first_dropped is None:
            self.first_dropped = place


class Companies:
    """Profiles by company key. There may be `most`, because all of them are in memory."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self.profiles: dict[str, Profile] = {}
        self.ready = False
        """Whether the topic was read to its end. Before that nobody can say which company has no profile."""

    def read(self, record: "ConsumerRecord[bytes | None, bytes | None]", findings: Findings) -> str | None:
        """Take a record. Returns the company if its profile has changed. Raises `TooManyError`."""
        place = f"{record.topic}/{record.partition}/{record.offset}"
        try:
            company, profile, dropped = read_profile(record.key, record.value, record.timestamp)
        except Rejected as rejected:
            findings.refuse(place, rejected)
            return None
        findings.drop(place, dropped)
        known = self.profiles.get(company)
        if profile is None:
            findings.outcomes["deleted"] += 1
            return None if self.profiles.pop(company, None) is None else company
        if known is not None and known.data == profile.data:
            findings.outcomes["unchanged"] += 1
            return None
        if known is None and len(self.profiles) >= _SLACK * self._most:
            raise TooManyError(self._most)
        findings.outcomes["changed"] += 1
        self.profiles[company] = profile
        return company

    def check(self) -> None:
        """Raises `TooManyError` for more companies than are allowed. Call it at the end of the topic: before that there
        may be profiles that later records delete."""
        if len(self.profiles) > self._most:
            raise TooManyError(self._most)

    def replace(self, profiles: dict[str, Profile]) -> set[str]:
        """Know these profiles from now on. Returns the companies with another profile than before."""
        before, self.profiles = self.profiles, profiles
        changed = {
            company
            for company, profile in profiles.items()
            if (known := before.get(company)) is None or known.data != profile.data
        }
        return changed | (before.keys() - profiles.keys())
