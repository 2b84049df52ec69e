"""The public holidays of a country or one of its subdivisions, from the pinned `holidays` package.

The package is imported only if a ruleset names holidays, because this takes a good part of a second.
"""

import warnings
from datetime import date
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Final

from scorer.rules.catalogue import suggestion

_EPOCH: Final = date(1970, 1, 1).toordinal()


def version() -> str:
    """Part of the revision of a ruleset that names holidays."""
    from holidays.version import __version__

    return __version__


def check_code(code: str) -> str:
    """The code itself. Raises `ValueError` in words if it is neither a country nor one of its subdivisions."""
    country, dash, subdivision = code.partition("-")
    if country not in _countries():
        meant = _country_meant(country)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueError(
            f"`{country}` is not a country whose holidays are known (two letters of ISO 3166-1, as in DE, or with a "
            f"subdivision, as in DE-BY){hint}"
        )
    known = _subdivisions(country)
    if dash and subdivision not in known:
        if not known:
            raise ValueError(f"`{code}`: the holidays of {country} are known as a whole only; write {country}")
        hint = suggestion(subdivision, known) or suggestion(subdivision.upper(), known)
        raise ValueError(f"`{code}` is not a subdivision of {country} ({', '.join(known)}){hint}")
    return code


@lru_cache(1024)
def holiday_days(code: str, year: int) -> frozenset[int]:
    """The holidays of a year as days since 1970-01-01. Empty where the package has no data about the year."""
    import holidays

    country, _, subdivision = code.partition("-")
    with warnings.catch_warnings():
        # Some countries warn about years without exact data.
        warnings.simplefilter("ignore")
        # With a language, the package does not look for one in the environment.
        dates = holidays.country_holidays(
            country, subdiv=subdivision or None, years=year, expand=False, language="en_US"
        )
    return frozenset(day.toordinal() - _EPOCH for day in dates)


@cache
def _countries() -> frozenset[str]:
    from holidays.registry import EntityLoader

    return frozenset(EntityLoader.get_country_codes(include_aliases=False))


def _country_meant(text: str) -> str | None:
    """The code of a country whose name, code of three letters or lower-case code this is, or nearly its name."""
    from holidays.registry import COUNTRIES

    codes = {name.lower(): entry[1] for entry in COUNTRIES.values() for name in entry}
    known = codes.get(text.lower())
    if known is not None or len(text) < 4:
        return known
    close = get_close_matches(text.lower(), [name for name in codes if len(name) > 3], n=1)
    return codes[close[0]] if close else None


@cache
def _subdivisions(country: str) -> tuple[str, ...]:
    import holidays

    return tuple(holidays.country_holidays(country, language="en_US").subdivisions)
