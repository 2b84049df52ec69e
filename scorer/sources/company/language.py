"""Language as people and other systems write it -> a BCP 47 tag (RFC 5646): language, script, region, variants."""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from gettext import translation
from re import compile as pattern
from typing import Any, Final

from scorer.sources.company.converter import Unfit, text_of
from scorer.sources.company.country import country
from scorer.sources.company.folding import folded, without_umlauts

_LONGEST: Final = 64
_TAG: Final = pattern(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
)
_OF_COUNTRY: Final = pattern(r"([^()]+) \(([^()]+)\)")

_COMMON: Final = {
    "français": "fr", "español": "es", "castellano": "es", "italiano": "it", "nederlands": "nl", "polski": "pl",
    "português": "pt", "türkçe": "tr", "čeština": "cs", "dansk": "da", "svenska": "sv", "norsk": "no", "suomi": "fi",
    "magyar": "hu", "Greek": "el", "Griechisch": "el", "Flemish": "nl", "Mandarin": "zh", "Farsi": "fa",
    "Swiss German": "gsw", "Schweizerdeutsch": "gsw", "Simplified Chinese": "zh-Hans",
    "Chinese (Simplified)": "zh-Hans", "Traditional Chinese": "zh-Hant", "Chinese (Traditional)": "zh-Hant",
    "Brazilian Portuguese": "pt-BR",
}  # fmt: skip


def language(value: object) -> str | None:
    """The language tag in its usual case, as in `de-AT`; None if there is no value.

    It takes tags with `-` or `_`, codes of ISO 639-1, -2 and -3, and the English and German names of the languages of
    ISO 639-1, also with a country: `English (United States)` is `en-US`. Raises `Unfit` for anything else.
    """
    text = text_of(value, _LONGEST)
    return None if text is None else _tag(text)


@lru_cache(1024)
def _tag(text: str) -> str:
    names = language_names()
    name = names.get(folded(text)) or names.get(without_umlauts(text))
    if name is not None:
        return name
    match = _TAG.fullmatch(text.lower().replace("_", "-"))
    if match is not None:
        return _canonical(match["language"], match["script"], match["region"], match["variants"])
    match = _OF_COUNTRY.fullmatch(text)
    spoken, region = (None, None) if match is None else (names.get(folded(match[1])), country(match[2]))
    if spoken is None or region is None:
        raise Unfit("not_a_choice")
    return f"{spoken}-{region}"


def _canonical(primary: str, script: str | None, region: str | None, variants: str) -> str:
    tag = _codes().get(primary)
    if tag is None:
        raise Unfit("not_a_choice")
    if script is not None:
        if script not in _scripts():
            raise Unfit("not_a_choice")
        tag += f"-{script.title()}"
    if region is not None:
        tag += f"-{region if region.isdigit() else country(region)}"
    return tag + variants


@cache
def language_codes() -> frozenset[str]:
    """The language codes of two letters, in lower case."""
    return frozenset(each.alpha_2 for each in _languages() if hasattr(each, "alpha_2"))


@cache
def language_names() -> Mapping[str, str]:
    """The tag by every name of a language with a code of two letters, as `folded` and `without_umlauts` make it."""
    return {form(name): tag for name, tag in _names() for form in (folded, without_umlauts)}


def _names() -> Iterator[tuple[str, str]]:
    import pycountry

    german = translation("iso639-3", pycountry.LOCALES_DIR, languages=["de"], fallback=True)
    for each in _languages():
        for attribute in ("name", "common_name"):
            if hasattr(each, "alpha_2") and (name := getattr(each, attribute, None)) is not None:
                for form in (name, german.gettext(name)):
                    # `Malay (macrolanguage)`, `Spanisch (Kastilisch)`
                    yield form.partition(" (")[0], each.alpha_2
    yield from _COMMON.items()


@cache
def _codes() -> Mapping[str, str]:
    """The shortest code of a language, as RFC 5646 (2.2.1) wants it, by each of its codes."""
    return {
        getattr(each, attribute): getattr(each, "alpha_2", each.alpha_3)
        for each in _languages()
        for attribute in ("alpha_3", "bibliographic", "alpha_2")
        if hasattr(each, attribute)
    }


@cache
def _scripts() -> frozenset[str]:
    import pycountry

    return frozenset(each.alpha_4.lower() for each in pycountry.scripts)


def _languages() -> Iterator[Any]:
    import pycountry

    return iter(pycountry.languages)
