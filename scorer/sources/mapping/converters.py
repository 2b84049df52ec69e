"""What `as` names: functions from the value that a sender wrote to the value in the data of an activity."""

import re
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Final

from scorer.domain.activity import NAMES_BYTES
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.company.country import country
from scorer.sources.company.email_address import email, email_domain, email_kind
from scorer.sources.company.employees import employees
from scorer.sources.company.job_titles import JobTitles
from scorer.sources.company.language import language
from scorer.sources.company.revenue import revenue

_LONGEST: Final = 65_536
"""Characters of a text that is looked at. No field of an activity has room for so many."""
_MOST_BITS: Final = 256
"""Of a whole number that is written as text. Longer ones are no ids, and writing them takes long."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_AMBIGUOUS: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
"""One point with three digits after it: in German it separates thousands, in English decimals."""
_INT64: Final = 1 << 63
_MOST_ITEMS: Final = 1_000
"""Of a list that is looked at."""
_TRUE: Final = frozenset({"true", "yes", "y", "t", "1", "on", "ja", "wahr"})
_FALSE: Final = frozenset({"false", "no", "n", "f", "0", "off", "nein", "falsch"})
_WHOLE_FLOATS: Final = 1 << 53
"""Beyond it a float does not tell neighbouring whole numbers apart."""


def text(value: object) -> str | None:
    """The text, or a number or a boolean as JSON writes it. None for an empty text."""
    if type(value) is str:
        if len(value) > _LONGEST:
            raise Unfit("too_long")
        return value or None
    if value is None:
        return None
    if type(value) is int:
        if value.bit_length() > _MOST_BITS:
            raise Unfit("out_of_range")
        return str(value)
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            # Its digits are lost: the sender wrote any of the numbers around it.
            if abs(value) >= _WHOLE_FLOATS:
                raise Unfit("out_of_range")
            return str(int(value)) if value.is_integer() else repr(value)
    raise Unfit("wrong_type")


def lower(value: object) -> str | None:
    """The text in lower case, without spaces around it."""
    written = text(value)
    return written and (written.strip().lower() or None)


def texts(value: object) -> list[str] | None:
    """A list of texts; one text is a list of it. None if it has none."""
    items = value if isinstance(value, list) else [value]
    if len(items) > _MOST_ITEMS:
        raise Unfit("too_long")
    found = [written for written in map(text, items) if written is not None]
    if sum(len(written.encode()) for written in found) > NAMES_BYTES:
        raise Unfit("too_long")
    return found or None


def raw(value: object) -> object | None:
    """The value as it is. None for an empty text."""
    return None if value == "" else value


def fact(value: object) -> object | None:
    """The value of a custom fact: a text, a number, a boolean or a list of texts, as it is. None for an empty text."""
    match value:
        case dict():
            raise Unfit("wrong_type")
        case list():
            return texts(value)
        case bool() | str():
            return raw(value)
    return number(value)


def number(value: object) -> int | float | None:
    """A number, also one that is written as text. None for a blank text."""
    if isinstance(value, str):
        value = _number_in(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit("wrong_type")
    if isinstance(value, float):
        if not isfinite(value):
            raise Unfit("out_of_range")
        return value
    if not -_INT64 <= value < _INT64:
        raise Unfit("out_of_range")
    return value


def whole_number(value: object) -> int | None:
    """A whole number, also one that is written as text or as 400.0. None for a blank text."""
    found = number(value)
    if isinstance(found, float):
        if not found.is_integer():
            raise Unfit("wrong_type")
        if abs(found) > _WHOLE_FLOATS:
            raise Unfit("out_of_range")
        return int(found)
    return found


def boolean(value: object) -> bool | None:
    """True or false, also as 1, 0 or one of a few English or German words. None for a blank text."""
    if isinstance(value, bool):
        return value
    word = lower(value)
    if word is None:
        return None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Unfit("not_a_choice")


def _number_in(written: str) -> int | float | None:
    written = written.strip()
    if not written:
        return None
    if _NUMBER.fullmatch(written) is None:
        raise Unfit("malformed")
    if _AMBIGUOUS.fullmatch(written) is not None:
        raise Unfit("ambiguous")
    exact = Decimal(written)
    # Through a float, a whole number of 64 bits would lose digits.
    return int(exact) if exact.adjusted() < 30 and exact == exact.to_integral_value() else float(exact)


def converters(titles: JobTitles) -> Mapping[str, Converter]:
    """All functions, by their names in `as`. `titles`: the table of job titles of the ruleset."""
    return {**_CONVERTERS, "job_level": titles.job_level, "department": titles.department}


_CONVERTERS: Final[Mapping[str, Converter]] = {
    "text": text,
    "texts": texts,
    "lower": lower,
    "raw": raw,
    "fact": fact,
    "whole_number": whole_number,
    "number": number,
    "boolean": boolean,
    "email": email,
    "email_domain": email_domain,
    "email_kind": email_kind,
    "country": country,
    "language": language,
    "employees": employees,
    "revenue": revenue,
}
