"""Countries and languages by code, for the constants that name them: ISO 3166-1 alpha-2 and ISO 639-1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

_KOSOVO = "XK"
"""Not assigned by ISO, and used by everybody."""

_COUNTRY_ALIASES = {
    "deutschland": "DE", "österreich": "AT", "schweiz": "CH", "great britain": "GB", "england": "GB", "holland": "NL",
    "russia": "RU", "turkey": "TR", "uk": "GB", "el": "GR", "ger": "DE", "kosovo": _KOSOVO,
}  # fmt: skip
"""As people write them, and codes of other lists; these are not in ISO 3166-1."""

_LANGUAGE_ALIASES = {
    "deutsch": "de", "englisch": "en", "français": "fr", "español": "es", "italiano": "it", "nederlands": "nl",
    "greek": "el",
}  # fmt: skip

_SHORTEST_NAME = 4
"""Shorter texts are codes: one that is only similar to a code means nothing."""


def is_country(code: str) -> bool:
    """Whether this is an alpha-2 code, in upper case."""
    return code in _country_codes()


def is_language(code: str) -> bool:
    """Whether this is a language code of two letters, in lower case."""
    return code in _language_codes()


def country_meant(text: str) -> str | None:
    """The alpha-2 code that a text was probably meant to be; None where nothing comes close."""
    upper = text.strip().upper()
    return upper if is_country(upper) else _meant(text, _country_names())


def language_meant(text: str) -> str | None:
    """The language tag that a text was probably meant to be; None where nothing comes close."""
    primary, separator, region = text.strip().replace("_", "-").partition("-")
    if is_language(primary.lower()):
        return f"{primary.lower()}{separator}{region.upper() if len(region) == 2 else region}"
    return _meant(text, _language_names())


def _meant(text: str, names: Mapping[str, str]) -> str | None:
    asked = text.strip().lower()
    if asked in names:
        return names[asked]
    long = [name for name in names if len(name) >= _SHORTEST_NAME]
    close = get_close_matches(asked, long, n=1, cutoff=0.8)
    return names[close[0]] if close else None


# The library and its lists take a tenth of a second to load, and most rulesets name neither a country nor a language.
@cache
def _country_codes() -> frozenset[str]:
    import pycountry

    return frozenset({country.alpha_2 for country in pycountry.countries} | {_KOSOVO})


@cache
def _country_names() -> Mapping[str, str]:
    import pycountry

    return _named(pycountry.countries, ("name", "common_name", "official_name", "alpha_3")) | _COUNTRY_ALIASES


@cache
def _language_codes() -> frozenset[str]:
    return frozenset(language.alpha_2 for language in _languages())


@cache
def _language_names() -> Mapping[str, str]:
    return _named(_languages(), ("name", "common_name", "alpha_3", "bibliographic")) | _LANGUAGE_ALIASES


def _languages() -> Iterable[Any]:
    """Those with a code of two letters."""
    import pycountry

    return (language for language in pycountry.languages if hasattr(language, "alpha_2"))


def _named(entries: Iterable[Any], attributes: Iterable[str]) -> dict[str, str]:
    """The alpha-2 code by every name, in lower case."""
    known = tuple(attributes)
    return {
        getattr(entry, attribute).lower(): entry.alpha_2
        for entry in entries
        for attribute in known
        if hasattr(entry, attribute)
    }
