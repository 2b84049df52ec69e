"""Company data as people and platforms write it, and what is read from it. docs/company-data.md shows the same."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest

from scorer.domain.unfitting import Reason
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.company.country import country
from scorer.sources.company.email_address import company_key, email, email_domain, email_kind
from scorer.sources.company.employees import employees
from scorer.sources.company.language import language
from scorer.sources.company.revenue import revenue

REASONS = get_args(Reason)
NOTHING = (None, "", "   ", "\t\n")


def table(rows: Mapping[Any, Sequence[object]]) -> list[tuple[object, object]]:
    """One parameter set a value. `rows`: the values by what is expected of them."""
    return [(value, expected) for expected, values in rows.items() for value in values]


def check(convert: Converter, value: object, expected: object) -> None:
    if expected in REASONS:
        with pytest.raises(Unfit) as caught:
            convert(value)
        assert caught.value.reason == expected
    else:
        converted = convert(value)
        assert converted == expected
        assert type(converted) is type(expected)


@pytest.mark.parametrize(
    "convert", [email, email_domain, email_kind, company_key, country, language, employees, revenue]
)
@pytest.mark.parametrize("value", NOTHING)
def test_nothing_is_no_value(convert: Converter, value: object) -> None:
    assert convert(value) is None


@pytest.mark.parametrize("convert", [email, email_domain, email_kind, company_key, country, language])
@pytest.mark.parametrize("value", [5, 1.5, True, [], ["DE"], {}])
def test_what_is_no_text_is_refused(convert: Converter, value: object) -> None:
    check(convert, value, "wrong_type")


EMAILS = {
    "max.muster@example.com": ["max.muster@example.com", " Max.Muster@Example.COM\n", "max.muster@example.com."],
    "info@xn--mnchen-3ya.de": ["info@münchen.de", "INFO@MÜNCHEN.DE", "info@xn--mnchen-3ya.de"],
    "a@xn--strae-oqa.de": ["a@straße.de"],
    "john+news@mail.example.co.uk": ["john+news@mail.example.co.uk"],
    "jörg@example.de": ["Jörg@example.de"],
    "o'neil_x/y=z@example.org": ["O'Neil_x/y=z@example.org"],
    "malformed": [
        "max.muster", "@example.com", "max@", "max@localhost", "max@example", "max@1.2.3.4", "max@[1.2.3.4]",
        "Max <max@example.com>", "<max@example.com>", "a@b.de, c@d.de", "a@b.de;c@d.de", "a b@example.com",
        "a@b@example.com", '"a b"@example.com', "max@exa mple.com", "max@-example.com", "max@example..com",
        "max@example.com/path", "a\u200bb@example.com", "a\ud800@example.com", "max@exam_ple.com", "mailto:a@b.de",
        "max@\ud800.de", "max@☃\u0000.de", "n/a",
    ],
    "too_long": ["a" * 65 + "@example.com", "a@" + "b" * 260 + ".de", "x" * 10_000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(EMAILS))
def test_an_email_address_has_one_form(value: object, expected: object) -> None:
    check(email, value, expected)
    domain = expected.partition("@")[2] if isinstance(expected, str) and expected not in REASONS else expected
    check(email_domain, value, domain)


KINDS = {
    "free": [
        "a@gmail.com", "a@GoogleMail.com", "a@gmx.de", "a@gmx.at", "a@web.de", "a@t-online.de", "a@freenet.de",
        "a@outlook.com", "a@hotmail.de", "a@yahoo.co.uk", "a@icloud.com", "a@posteo.de", "a@mailbox.org", "a@proton.me",
        "a@bluewin.ch", "a@hispeed.ch", "a@chello.at", "a@vip.qq.com", "a@orange.fr", "a@libero.it", "a@tutanota.com",
    ],
    "disposable": [
        "a@mailinator.com", "a@10minutemail.com", "a@guerrillamail.com", "a@yopmail.com", "a@trashmail.com",
        "a@eml.pp.ua", "a@tmail.edu.rs",
    ],
    "university": [
        "a@mit.edu", "a@cs.ox.ac.uk", "a@univie.ac.at", "a@u-tokyo.ac.jp", "a@unimelb.edu.au", "a@tum.de",
        "a@in.tum.de", "a@stud.uni-heidelberg.de", "a@student.ethz.ch", "a@uzh.ch", "a@rwth-aachen.de", "a@uni.li",
    ],
    "business": [
        "a@siemens.com", "a@mail.bbc.co.uk", "a@example.de", "a@acme.myshopify.com", "a@acme.ac", "a@uni-elektro.de",
        "a@münchen.de", "a@eton.sch.uk", "a@acme.ac.leg.br", "a@gmail.example.de", "a@co.uk", "a@notgmail.com",
    ],
    "not_a_choice": ["a@gmail.con", "a@server.local", "a@example.invalid"],
    "malformed": ["gmail.com", "a@gmail"],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(KINDS))
def test_an_email_address_has_a_kind(value: object, expected: object) -> None:
    check(email_kind, value, expected)


COMPANIES = {
    "bbc.co.uk": ["a@mail.bbc.co.uk", "bbc.co.uk", "www.bbc.co.uk", "https://www.BBC.co.uk/news?x=1#top", "BBC.CO.UK."],
    "xn--mnchen-3ya.de": ["a@münchen.de", "http://münchen.de:8080", "www.xn--mnchen-3ya.de"],
    "acme.myshopify.com": ["acme.myshopify.com", "https://acme.myshopify.com/a@b"],
    None: ["a@gmail.com", "gmail.com", "a@mailinator.com", "a@mit.edu", "www.tum.de", "co.uk", "myshopify.com"],
    "not_a_choice": ["a@example.con", "intranet.local"],
    "malformed": ["Example GmbH", "ftp://example.com", "https://", "localhost", "192.168.0.1", "example.com:x"],
    "too_long": ["https://example.com/" + "x" * 3000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(COMPANIES))
def test_a_company_has_a_key(value: object, expected: object) -> None:
    check(company_key, value, expected)


COUNTRIES = {
    "DE": ["DE", "de", "De ", "DEU", "deu", "GER", "Germany", "GERMANY", "Deutschland", "deutschland", "BRD",
           "Federal Republic of Germany", "Bundesrepublik Deutschland"],
    "GB": ["GB", "UK", "U.K.", "GBR", "United Kingdom", "the United Kingdom", "Great Britain", "England", "Scotland",
           "Vereinigtes Königreich", "VEREINIGTES KÖNIGREICH", "Vereinigtes Koenigreich", "Großbritannien",
           "Grossbritannien"],
    "US": ["US", "USA", "U.S.", "U.S.A.", "usa", "United States", "United States of America", "Vereinigte Staaten",
           "Vereinigte Staaten von Amerika", "The United States"],
    "AT": ["AT", "AUT", "Austria", "Österreich", "Oesterreich", "Osterreich", "ÖSTERREICH", "O\u0308sterreich"],
    "CH": ["CH", "CHE", "SUI", "Switzerland", "Schweiz", "die Schweiz", "Suisse"],
    "NL": ["NL", "Netherlands", "The Netherlands", "Niederlande", "Die Niederlande", "Holland"],
    "CZ": ["Czechia", "Czech Republic", "Tschechien", "Tschechische Republik"],
    "TR": ["Türkiye", "Turkiye", "Turkey", "Türkei", "Tuerkei"],
    "RU": ["Russia", "Russian Federation", "Russland"],
    "KR": ["South Korea", "Korea, Republic of", "Republic of Korea", "Südkorea"],
    "CI": ["Côte d'Ivoire", "Cote d’Ivoire", "Ivory Coast", "Elfenbeinküste"],
    "BA": ["Bosnia and Herzegovina", "Bosnia & Herzegovina", "Bosnien und Herzegowina"],
    "IS": ["Iceland", "Island"], "XK": ["XK", "Kosovo"], "GR": ["GR", "EL", "Greece", "Griechenland"],
    "TW": ["Taiwan"], "HK": ["Hong Kong", "Hongkong"], "VN": ["Vietnam", "Viet Nam"], "GM": ["Gambia", "The Gambia"],
    "NA": ["NA", "Namibia"], "AE": ["UAE", "VAE", "United Arab Emirates"], "IE": ["Ireland", "Irland"],
    "not_a_choice": ["Munich, Germany", "Germany (DE)", "Europe", "DACH", "n/a", "49", "Atlantis", "de-DE", "ZZ", "-"],
    "too_long": ["x" * 10_000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(COUNTRIES))
def test_a_country_has_a_code(value: object, expected: object) -> None:
    check(country, value, expected)


LANGUAGES = {
    "de": ["de", "DE", "deu", "ger", "German", "Deutsch", "deutsch"],
    "de-DE": ["de-DE", "de_DE", "DE-de", "German (Germany)", "Deutsch (Deutschland)"],
    "de-AT": ["de_at", "German (Austria)", "Deutsch (Österreich)"],
    "en": ["en", "eng", "English", "Englisch", "English ( )"],
    "en-GB": ["en-gb", "en-UK", "English (United Kingdom)", "Englisch (Großbritannien)"],
    "zh-Hans-CN": ["zh-hans-cn", "zh_Hans_CN"],
    "zh-Hans": ["Chinese (Simplified)", "zh-hans"],
    "es-419": ["es-419"], "fr": ["fra", "fre", "French", "Französisch", "français"], "el": ["Greek", "Griechisch"],
    "gsw": ["gsw", "Swiss German"], "fil": ["fil"], "de-CH-1996": ["de-ch-1996"], "nb": ["nb", "Norwegian Bokmål"],
    "not_a_choice": ["xx", "xxx", "en-ZZ", "de-Abcd", "de-DE,de;q=0.9", "Elvish", "English (Narnia)",
                     "Elvish (Germany)", "x-private", "-"],
    "too_long": ["x" * 10_000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(LANGUAGES))
def test_a_language_has_a_tag(value: object, expected: object) -> None:
    check(language, value, expected)


EMPLOYEES: dict[object, list[Any]] = {
    50: [50, 50.0, "50", "50.0", " 50 ", "50 employees", "50 Mitarbeiter", "50 MA", "50 Mitarbeiter:innen", "5e1", "٥٠",
         "ca. 50", "~50", "about 50", "approx. 50", "rund 50", "etwa 50", "50+", "at least 50", "50 or more",
         "50 und mehr", "ab 50", ">= 50", "≥50", "mindestens 50"],
    51: ["51-200", "51–200", "51 — 200", "51 - 200 employees", "51 to 200", "51 bis 200", "between 51 and 200",
         "zwischen 51 und 200", "von 51 bis 200", "from 51 to 200", "> 50", "more than 50", "mehr als 50", "über 50",
         "over 50", "51‑200 Mitarbeitende"],
    1000: [1000, "1000", "1,000", "1.000", "1 000", "1'000", "1’000", "1\u00a0000", "1\u202f000", "1k", "1K", "1 Tsd.",
           "1,000+", "1.000 – 5.000", "1,000-5,000", "1k-5k", "1-5k", "1.000,00", "1,000.00", "1 thousand"],
    10_000: ["10k", "10K+", "10.000", "10,000 or more", "10 Tausend"],
    1_500: ["1.5k", "1,5 Tsd"],
    10_001: ["10,001+", "10.001+ Mitarbeiter", "10001 and over"],
    5001: ["> 5000", ">5.000"],
    1: ["<10", "< 10", "1-10", "1", "less than 10", "weniger als 10", "bis 10", "bis zu 10", "up to 10", "unter 10",
        "max. 10", "10 or less", "fewer than 2"],
    0: [0, "0", "0-1", "<1", -0.0],
    500: ["500-1k", "500"],
    "malformed": ["Nov-50", "11. Okt", "many", "viele", "n/a", "-", "-5", "50-", "1.5", 50.5, "50-11",
                        "2020-01-01", "11 und 50", "> 50+", "51-200-500", "10x", "1..5", "1.00.000", "50 1000",
                        "<>5", "k", "10kk", "Mitarbeiter", "51-200 (mid-size)", "½"],
    "out_of_range": [-5, float("nan"), float("inf"), 2**63, 10**400, "9" * 40, "1e99", 1e300],
    "wrong_type": [True, [], {}, ["50"]],
    "too_long": ["5" * 10_000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(EMPLOYEES))
def test_employees_are_counted(value: object, expected: object) -> None:
    check(employees, value, expected)


REVENUES: dict[object, list[Any]] = {
    10_000_000: [10_000_000, 1e7, "10000000", "$10M", "10M", "€10m", "10 Mio. EUR", "10 Mio €", "10 Millionen Euro",
                 "USD 10 million", "10 million dollars", "US$ 10 mn", "1.0E7", "10-50M", "$10M-$50M",
                 "$10 - 50 million", "10.000.000", "10,000,000", "CHF 10'000'000", "10 000 000 €", "10.000.000,00 €",
                 "> 10 Mio €", "over $10M", "$10M+", "10 MEUR", "10.000 TEUR", "ca. 10 Mio."],
    1_500_000_000: ["1,5 Mrd €", "1.5bn", "$1.5B", "1.500 Mio. EUR", "1.5 billion", "1,5 Mia. CHF"],
    500_000: ["500k", "€500K", "500 Tsd. €", "500 TEUR", "500,000", "500k - 1M", "500 k£"],
    1_234_000_000: ["$1.234 billion", "1,234 Mrd. EUR"],
    12.5: ["12.5", "12,5 €", 12.5],
    0: [0, "0", "< $1M", "up to 1 Mio", "$0 - $1M", "unter 500 TEUR"],
    1500: ["1.500", "1,500 €"],
    "ambiguous": ["$1.234M", "1,234k", "1-1M", "500-1.5M"],
    "malformed": ["$1T", "viel", "n/a", "$", "EUR", "-5 Mio", "10 M M", "10M apples", "10/50M", "50M-10M"],
    "out_of_range": [-1, -0.5, float("inf"), 2**63, "10000000000 Mrd"],
    "wrong_type": [False, [], {}],
    "too_long": ["1" * 10_000],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), table(REVENUES))
def test_revenue_has_units_and_no_currency(value: object, expected: object) -> None:
    check(revenue, value, expected)
