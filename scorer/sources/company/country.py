"""Country as people and other systems write it -> ISO 3166-1 alpha-2. Names are those of `pycountry`, in English and
German, and the common names that it does not have."""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from gettext import translation
from typing import Final

from scorer.sources.company.converter import Unfit, text_of
from scorer.sources.company.folding import folded, without_umlauts

KOSOVO: Final = "XK"
"""Not assigned by ISO, and used by everybody."""

_LONGEST: Final = 128

_COMMON: Final = {
    # Codes of other lists: the EU writes EL and UK, vehicles and sports GER and SUI.
    "EL": "GR", "UK": "GB", "GER": "DE", "SUI": "CH", "BRD": "DE", "UAE": "AE", "VAE": "AE", "PRC": "CN", "KSA": "SA",
    "Great Britain": "GB", "Britain": "GB", "England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB",
    "Großbritannien": "GB", "Schottland": "GB", "Nordirland": "GB", "Holland": "NL",
    "Vereinigte Staaten von Amerika": "US", "Bundesrepublik Deutschland": "DE", "Republik Österreich": "AT",
    "Schweizerische Eidgenossenschaft": "CH", "Suisse": "CH", "Svizzera": "CH", "Republic of Ireland": "IE",
    "Republik Irland": "IE", "Russia": "RU", "Russland": "RU", "Turkey": "TR", "Kosovo": KOSOVO, "Macedonia": "MK",
    "Mazedonien": "MK", "Tschechische Republik": "CZ", "Slowakische Republik": "SK", "Republik Moldau": "MD",
    "Moldawien": "MD", "Weißrussland": "BY", "Burma": "MM", "Birma": "MM", "Swaziland": "SZ", "Swasiland": "SZ",
    "Cape Verde": "CV", "Ivory Coast": "CI", "Elfenbeinküste": "CI", "East Timor": "TL", "Osttimor": "TL",
    "Brunei": "BN", "Macau": "MO", "Vatican City": "VA", "Vatican": "VA", "Vatikanstadt": "VA", "Vatikan": "VA",
    "Holy See": "VA", "Palestine": "PS", "Palästina": "PS", "Micronesia": "FM", "Mikronesien": "FM",
    "Democratic Republic of Congo": "CD", "DR Congo": "CD", "Congo-Kinshasa": "CD", "DR Kongo": "CD",
    "Congo-Brazzaville": "CG", "Republik Kongo": "CG", "Republic of Congo": "CG", "Falkland Islands": "FK",
    "Falklandinseln": "FK", "Färöer": "FO", "Faeroe Islands": "FO", "Åland": "AX", "Saint Martin": "MF",
    "Sint Maarten": "SX", "British Virgin Islands": "VG", "US Virgin Islands": "VI", "Mainland China": "CN",
    "Volksrepublik China": "CN", "Republic of China": "TW", "Emirates": "AE", "Kyrgyz Republic": "KG",
}  # fmt: skip


def country(value: object) -> str | None:
    """The alpha-2 code of a country; None if there is no value.

    It takes alpha-2 and alpha-3 codes and names, in any case. Raises `Unfit` for anything else, also for a text with
    more than the country.
    """
    text = text_of(value, _LONGEST)
    return None if text is None else _code(text)


@lru_cache(4096)
def _code(text: str) -> str:
    for article in ("the ", "die "):
        if text.lower().startswith(article):
            text = text[len(article) :]
    known = country_names()
    code = known.get(folded(text)) or known.get(without_umlauts(text))
    if code is None:
        raise Unfit("not_a_choice")
    return code


# The library and its lists take a tenth of a second to load, and most programs never ask for a country.
@cache
def country_codes() -> frozenset[str]:
    """The alpha-2 codes, in upper case."""
    import pycountry

    return frozenset({each.alpha_2 for each in pycountry.countries} | {KOSOVO})


@cache
def country_names() -> Mapping[str, str]:
    """The alpha-2 code by every code and name, as `folded` and `without_umlauts` make it."""
    names = {form(name): code for name, code in _names() for form in (folded, without_umlauts)}
    # Codes last: no name may hide one.
    return names | {code.lower(): code for code in country_codes()}


def _names() -> Iterator[tuple[str, str]]:
    import pycountry

    german = translation("iso3166-1", pycountry.LOCALES_DIR, languages=["de"], fallback=True)
    for each in pycountry.countries:
        for attribute in ("name", "common_name", "official_name"):
            if (name := getattr(each, attribute, None)) is not None:
                for form in (name, german.gettext(name)):
                    yield form, each.alpha_2
                    # `Korea, Republic of` is also `Republic of Korea`.
                    yield " ".join(reversed(form.split(", "))), each.alpha_2
        yield each.alpha_3, each.alpha_2
    yield from _COMMON.items()
