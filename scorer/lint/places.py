# ruff: noqa: SIM905 -- a page of quotes and commas would be harder to compare with the standard
"""Countries and languages by code, for the constants that name them: ISO 3166-1 alpha-2 and ISO 639-1."""

from __future__ import annotations

from difflib import get_close_matches

COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    XK
    """.split()
)
"""Officially assigned codes, and XK, which everybody uses for Kosovo."""

LANGUAGES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
    es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka
    kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng
    nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su
    sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)

_COUNTRY_NAMES = {
    "argentina": "AR", "australia": "AU", "austria": "AT", "belgium": "BE", "brazil": "BR", "bulgaria": "BG",
    "canada": "CA", "chile": "CL", "china": "CN", "colombia": "CO", "croatia": "HR", "cyprus": "CY",
    "czechia": "CZ", "czech republic": "CZ", "denmark": "DK", "egypt": "EG", "estonia": "EE", "finland": "FI",
    "france": "FR", "germany": "DE", "greece": "GR", "hungary": "HU", "iceland": "IS", "india": "IN",
    "indonesia": "ID", "ireland": "IE", "israel": "IL", "italy": "IT", "japan": "JP", "latvia": "LV",
    "liechtenstein": "LI", "lithuania": "LT", "luxembourg": "LU", "malaysia": "MY", "malta": "MT", "mexico": "MX",
    "morocco": "MA", "netherlands": "NL", "new zealand": "NZ", "nigeria": "NG", "norway": "NO", "pakistan": "PK",
    "peru": "PE", "philippines": "PH", "poland": "PL", "portugal": "PT", "romania": "RO", "russia": "RU",
    "saudi arabia": "SA", "serbia": "RS", "singapore": "SG", "slovakia": "SK", "slovenia": "SI",
    "south africa": "ZA", "south korea": "KR", "spain": "ES", "sweden": "SE", "switzerland": "CH", "taiwan": "TW",
    "thailand": "TH", "turkey": "TR", "ukraine": "UA", "united arab emirates": "AE", "united kingdom": "GB",
    "united states": "US", "united states of america": "US", "vietnam": "VN",
    # As people write them, and codes of other lists.
    "deutschland": "DE", "österreich": "AT", "schweiz": "CH", "great britain": "GB", "england": "GB", "holland": "NL",
    "uk": "GB", "usa": "US", "el": "GR", "ger": "DE", "deu": "DE", "aut": "AT", "che": "CH", "gbr": "GB", "fra": "FR",
    "ita": "IT", "esp": "ES", "nld": "NL", "bel": "BE", "pol": "PL", "swe": "SE", "dnk": "DK", "nor": "NO",
}  # fmt: skip

_LANGUAGE_NAMES = {
    "arabic": "ar", "bulgarian": "bg", "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da",
    "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "italian": "it", "japanese": "ja",
    "korean": "ko", "latvian": "lv", "lithuanian": "lt", "norwegian": "no", "polish": "pl", "portuguese": "pt",
    "romanian": "ro", "russian": "ru", "slovak": "sk", "slovenian": "sl", "spanish": "es", "swedish": "sv",
    "turkish": "tr", "ukrainian": "uk",
    "deutsch": "de", "englisch": "en", "français": "fr", "español": "es", "italiano": "it", "nederlands": "nl",
    "deu": "de", "ger": "de", "eng": "en", "fra": "fr", "spa": "es", "ita": "it",
}  # fmt: skip


def country_meant(text: str) -> str | None:
    """The alpha-2 code that a text was probably meant to be; None where nothing comes close."""
    upper = text.strip().upper()
    return upper if upper in COUNTRIES else _meant(text, _COUNTRY_NAMES)


def language_meant(text: str) -> str | None:
    """The language tag that a text was probably meant to be; None where nothing comes close."""
    primary, separator, region = text.strip().replace("_", "-").partition("-")
    if primary.lower() in LANGUAGES:
        return f"{primary.lower()}{separator}{region.upper() if len(region) == 2 else region}"
    return _meant(text, _LANGUAGE_NAMES)


def _meant(text: str, names: dict[str, str]) -> str | None:
    close = get_close_matches(text.strip().lower(), list(names), n=1, cutoff=0.8)
    return names[close[0]] if close else None
