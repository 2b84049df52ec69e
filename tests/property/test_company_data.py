"""Whatever a sender writes, a converter gives a value or says why not, soon; and a value stays what it is."""

from contextlib import suppress
from string import printable
from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scorer.domain.activity import ProfileUpdated
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.company.country import country
from scorer.sources.company.email_address import company_key, email, email_domain, email_kind
from scorer.sources.company.employees import employees
from scorer.sources.company.job_titles import built_in_job_titles
from scorer.sources.company.language import language
from scorer.sources.company.revenue import revenue

TITLES = built_in_job_titles()
STABLE: dict[str, Converter] = {
    "email": email, "company_key": company_key, "country": country, "language": language, "employees": employees,
    "annual_revenue": revenue,
}  # fmt: skip
CONVERTERS: dict[str, Converter] = STABLE | {
    "email_domain": email_domain,
    "email_kind": email_kind,
    "job_level": TITLES.job_level,
    "department": TITLES.department,
}
PROFILE = TypeAdapter(ProfileUpdated)

PIECES = (
    "1", "12", "200", "1.000", "1,5", "-", "–", " ", "k", "M", "Mio.", "€", "$", "+", "<", ">", "bis", "ca.", "und",
    "more", "a", "de", "DE", "ß", "İ", "ﬁ", "Ä", "\u0308", "@", ".", "com", "co.uk", "xn--", "gmail.com", "://", "/",
    "_", "Head of", "CEO", "(m/w/d)", "*in", "/in", "Leiter", "(", ")", ", ", "Republic of", "\ud800", "\x00", "\u200b",
    "½", "٣", "²", "e9",
)  # fmt: skip
texts = st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(printable, max_size=40)
values = texts | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(texts, max_size=2)


@pytest.mark.parametrize("name", CONVERTERS)
@given(value=values)
@example(value="1" * 64 + "e99")
@example(value="a@" + "ä." * 126 + "de")
@example(value="a@xn--\u00e4.de")
@example(value="a@\u2488com")
@example(value="２０–３０")
def test_a_value_is_converted_or_refused_with_a_reason(name: str, value: object) -> None:
    convert = CONVERTERS[name]
    try:
        converted = convert(value)
    except Unfit:
        return
    assert convert(value) == converted
    if name in ProfileUpdated.model_fields:
        PROFILE.validate_python({name: converted})
    if name in STABLE:
        assert convert(converted) == converted


@given(value=texts)
def test_the_parts_of_an_address_fit_together(value: str) -> None:
    try:
        address = email(value)
    except Unfit:
        return
    assert email_domain(value) == (None if address is None else address.rpartition("@")[2])
    if address is not None:
        assert address == address.lower()
        assert len(address) <= 254


@given(low=st.integers(0, 10**6), more=st.integers(0, 10**6), dash=st.sampled_from(["-", " – ", " bis ", " to "]))
def test_a_range_is_its_lower_bound(low: int, more: int, dash: str) -> None:
    high = low + more
    for written in (f"{low}{dash}{high}", f"{low:,}{dash}{high:,}", f"{low:,}{dash}{high:,}".replace(",", ".")):
        assert employees(written) == low
        assert revenue(f"{written} EUR") == low


@given(lower=st.integers(0, 10**6), word=st.sampled_from(["> {}", "more than {}", "{}+", "ab {}", "< {}", "bis {}"]))
def test_no_company_has_fewer_employees_than_is_said(lower: int, word: str) -> None:
    said = employees(word.format(lower))
    assert said is not None
    assert said <= lower + 1
    if word in ("> {}", "more than {}"):
        assert said == lower + 1


LONG = [
    "a" * 10_000, "1" * 10_000, "ä" * 10_000, "." * 10_000, " " * 10_000, "a " * 5_000, "1," * 5_000, "\ufdfa" * 10_000,
    "-" * 10_000, "*/in " * 2_000, "(m/w/d)" * 1_400, "@." * 5_000, "é" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("name", CONVERTERS)
def test_nothing_that_is_sent_takes_long(name: str) -> None:
    """Cut to each limit too, because what is longer is refused unread."""
    convert = CONVERTERS[name]
    for text in (each[:size] for each in LONG for size in (64, 128, 250, 2048, 10_000)):
        seconds = []
        # Another process may take the processor during some of the attempts. The numbers keep caches out.
        for attempt in range(20):
            start = perf_counter()
            with suppress(Unfit):
                convert(text[:-2] + str(attempt))
            seconds.append(perf_counter() - start)
        assert min(seconds) < 0.001, f"{len(text)} characters: {text[:20]!r}"
