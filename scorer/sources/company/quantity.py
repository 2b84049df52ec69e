"""An amount as people write it: a number, or a range of which the lower bound is taken.

The lower bound, because rules ask for `at least`: what holds for the lower bound holds for each value of the range.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from re import compile as pattern
from typing import Final
from unicodedata import normalize

from scorer.sources.company.converter import Unfit, text_of

_LONGEST: Final = 64
_LIMIT: Final = 2**63
"""No amount reaches it: activities carry integers of 64 bits."""


class Mark(Enum):
    """What a word or a sign says about the amount beside it."""

    ABOUT = auto()
    BETWEEN = auto()
    TO = auto()
    DASH = auto()
    AND = auto()
    OVER = auto()
    LEAST = auto()
    UNDER = auto()
    NOISE = auto()


@dataclass(frozen=True, slots=True)
class Unit:
    """A factor. `decimal` is the decimal sign of the language of its word; None for a word of both languages."""

    factor: int
    decimal: str | None = None


Words = Mapping[str, Mark | Unit]
"""What a word or a sign means, in lower case and without a dot at its end."""

THOUSANDS: Final[Words] = {
    "k": Unit(10**3),
    "thousand": Unit(10**3, "."),
    "tsd": Unit(10**3, ","),
    "tausend": Unit(10**3, ","),
}

_MEANINGS: Final = {
    Mark.ABOUT: "~ ≈ ca circa zirka about approx approximately around etwa rund ungefähr",
    Mark.BETWEEN: "between from zwischen von",
    Mark.TO: "to bis",
    Mark.DASH: "-",
    Mark.AND: "and und",
    Mark.OVER: "> more mehr over above über",
    Mark.LEAST: "+ ≥ >= least mindestens min ab",
    Mark.UNDER: "< less fewer weniger under below unter ≤ <= most max maximal höchstens",
    Mark.NOISE: "than als at up zu or oder",
}

_SIGNS: Final = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | dict.fromkeys("’‘`´", "'"))
_PLAIN: Final = pattern(r"\d+(?:\.\d+)?e\+?\d{1,2}")
_TOKEN: Final = pattern(
    r"(\d{1,3}(?:[ '.,]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?)|([^\W\d_]+)\.?|([<>]=|\S)",
)


def reader(own: Words, *, least: int, step: int) -> Callable[[object], Fraction | None]:
    """A function from a value to its amount, of a range the lower bound; None if there is no value. It raises `Unfit`.

    `own`: the units, and what means nothing beside such an amount. `least`: the lower bound of `less than n`. `step`:
    how much `more than n` is above n, 1 for what is counted.
    """
    words = {word: mark for mark, meant in _MEANINGS.items() for word in meant.split()} | dict(own)

    # Senders offer a few ranges to choose from, so a cache pays off.
    @lru_cache(1024)
    def of_text(text: str) -> Fraction:
        text = " ".join(normalize("NFKC", text).translate(_SIGNS).lower().split())
        return Fraction(text) if _PLAIN.fullmatch(text) else _bound(text, words, least, step)

    def amount(value: object) -> Fraction | None:
        if isinstance(value, bool):
            raise Unfit("wrong_type")
        if isinstance(value, float) and not isfinite(value):
            raise Unfit("out_of_range")
        if isinstance(value, int | float):
            return _within_limit(Fraction(value))
        text = text_of(value, _LONGEST)
        return None if text is None else _within_limit(of_text(text))

    return amount


def _within_limit(amount: Fraction) -> Fraction:
    if not 0 <= amount < _LIMIT:
        raise Unfit("out_of_range")
    return amount


def _bound(text: str, words: Words, least: int, step: int) -> Fraction:
    numbers, marks = _parts(text, words)
    marks[0].discard(Mark.ABOUT)
    match numbers, marks:
        case [(number, unit)], [before, after]:
            return _one_sided(_amount(number, unit), before, after, least, step)
        case [(low, low_unit), (high, high_unit)], [before, between, after]:
            joined = between in ({Mark.DASH}, {Mark.TO}) and before <= {Mark.BETWEEN}
            if after or not (joined or (between == {Mark.AND} and before == {Mark.BETWEEN})):
                raise Unfit("malformed")
            return _lower(low, low_unit, high, high_unit)
    raise Unfit("malformed")


def _one_sided(amount: Fraction, before: set[Mark], after: set[Mark], least: int, step: int) -> Fraction:
    said = before | (after - {Mark.AND})
    if (before and after) or len(said) > 1 or (Mark.AND in after and not said):
        raise Unfit("malformed")
    if not said or said == {Mark.LEAST} or (not before and said == {Mark.OVER}):
        return amount
    if before == {Mark.OVER}:
        return amount + step
    if said == {Mark.UNDER} or before == {Mark.TO}:
        return min(Fraction(least), max(Fraction(0), amount - step))
    raise Unfit("malformed")


def _lower(low: str, low_unit: Unit | None, high: str, high_unit: Unit | None) -> Fraction:
    if low_unit is None and high_unit is not None:
        plain = _amount(low, None)
        # `5-10k` is 5k to 10k, `500-1k` is not.
        if plain < _amount(high, high_unit) / high_unit.factor:
            low_unit = high_unit
        elif high_unit.factor > 1000:
            raise Unfit("ambiguous")
    first = _amount(low, low_unit)
    if first > _amount(high, high_unit):
        raise Unfit("malformed")
    return first


def _parts(text: str, words: Words) -> tuple[list[tuple[str, Unit | None]], list[set[Mark]]]:
    """The numbers as written, with their units, and the marks before, between and after them."""
    numbers: list[tuple[str, Unit | None]] = []
    marks: list[set[Mark]] = [set()]
    for digits, word, sign in _TOKEN.findall(text):
        if digits:
            numbers.append((digits, None))
            marks.append(set())
            continue
        match words.get(word or sign):
            case Unit() as unit if numbers and numbers[-1][1] is None and not marks[-1]:
                numbers[-1] = (numbers[-1][0], unit)
            case Mark() as mark:
                if mark is not Mark.NOISE:
                    marks[-1].add(mark)
            case _:
                raise Unfit("malformed")
    return numbers, marks


def _amount(text: str, unit: Unit | None) -> Fraction:
    """The number with its unit. Raises `Unfit` where its sign can be that of decimals or of thousands."""
    signs = [sign for sign in text if not sign.isdigit()]
    decimal = None
    if len(set(signs)) == 2 or (len(signs) == 1 and signs[0] in ".," and _is_decimal(text, signs[0], unit)):
        decimal = signs.pop()
    whole, _, digits = text.partition(decimal) if decimal else (text, "", "")
    first, *groups = whole.split(signs[0]) if signs else [whole]
    if len(set(signs)) > 1 or any(len(group) != 3 for group in groups) or (groups and len(first) > 3):
        raise Unfit("malformed")
    amount = Fraction(f"{first}{''.join(groups)}.{digits or 0}")
    return amount if unit is None else amount * unit.factor


def _is_decimal(text: str, sign: str, unit: Unit | None) -> bool:
    whole, _, digits = text.partition(sign)
    if len(digits) != 3 or len(whole) > 3 or whole.startswith("0"):
        return True
    if unit is None:
        return False
    if unit.decimal is None:
        raise Unfit("ambiguous")
    return unit.decimal == sign
