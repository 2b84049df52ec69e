"""Countries and languages by code, for the constants that name them: ISO 3166-1 alpha-2 and ISO 639-1."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from scorer.sources.company.country import country_codes, country_names
from scorer.sources.company.folding import folded
from scorer.sources.company.language import language_codes, language_names

_SHORTEST_NAME = 4
"""Shorter texts are codes: one that is only similar to a code means nothing."""


def is_country(code: str) -> bool:
    """Whether this is an alpha-2 code, in upper case."""
    return code in country_codes()


def is_language(code: str) -> bool:
    """Whether this is a language code of two letters, in lower case."""
    return code in language_codes()


def country_meant(text: str) -> str | None:
    """The alpha-2 code that a text was probably meant to be; None where nothing comes close."""
    upper = text.strip().upper()
    return upper if is_country(upper) else _meant(text, country_names())


def language_meant(text: str) -> str | None:
    """The language tag that a text was probably meant to be; None where nothing comes close."""
    primary, separator, region = text.strip().replace("_", "-").partition("-")
    if is_language(primary.lower()):
        return f"{primary.lower()}{separator}{region.upper() if len(region) == 2 else region}"
    return _meant(text, language_names())


def _meant(text: str, names: Mapping[str, str]) -> str | None:
    asked = folded(text)
    if asked in names:
        return names[asked]
    long = [name for name in names if len(name) >= _SHORTEST_NAME]
    close = get_close_matches(asked, long, n=1, cutoff=0.8)
    return names[close[0]] if close else None
