"""Random values of every kind that a payload may have, with the extremes of each bound. It imports nothing of the
scorer, so that what is valid is said twice."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

INT64: Final = 2**63 - 1
_PLAIN: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -/.&"
_SCRIPTS: Final = (
    "äöüßéèçñøåœŁžĐ",
    "שלוםעולםا مرحبا\u200f\u202e\u202b\u2067",
    "e\u0301\u0302\u0303\u0304a\u0327n\u0323\u20dd",
    "😀👩‍💻🏳️‍🌈𝔘𐍈🀄\U0010ffff\U000e0041",
    "日本語中文한국어ไทยहिन्दी",
    "\u2028\u2029\ufeff\ufffe\uffff\u200b\u00ad\ue000\ufffd",
    "<>&\"'\\`${}%;|*?[]()=,:",
)
_CONTROL: Final = "\x00\x01\x07\x08\t\n\r\x1b[2J\x7f\x80\x85\x9b"
FLOATS: Final[Sequence[float]] = (
    0,
    0.0,
    -0.0,
    1,
    0.1,
    5e-324,
    2.2250738585072014e-308,
    1e-9,
    2**53 + 1,
    INT64,
    1e15,
    1e16,
    1e300,
    1.7976931348623157e308,
)
"""Numbers that are not negative."""
INTEGERS: Final[Sequence[int]] = (0, 1, 2, 199, 200, 201, 2**31 - 1, 2**31, 2**53, 2**53 + 1, INT64 - 1, INT64)


def text(random: Random, low: int, high: int, *, control: bool = True) -> str:
    """Text of `low` to `high` characters. `control`: with control characters."""
    chance = random.random()
    if chance < 0.75:
        length = min(high, max(low, random.choice((1, 5, 8, 12, 30))))
        return "".join(random.choices(_PLAIN, k=length))
    length = high if chance > 0.97 else min(high, max(low, random.choice((low, 1, 3, 20, 60))))
    alphabet = random.choice(_SCRIPTS)
    if control and random.random() < 0.3:
        alphabet += _CONTROL
    return "".join(random.choices(alphabet, k=length))


def name(random: Random) -> str:
    """1 to 256 characters."""
    return text(random, 1, 256)


def names(random: Random) -> list[str]:
    """Up to 64 names."""
    count = random.choice((0, 1, 1, 2, 3, 5)) if random.random() < 0.97 else 64
    return [name(random) for _ in range(count)]


def long_text(random: Random) -> str:
    """Up to 2048 characters."""
    return text(random, 0, 2048)


def amount(random: Random) -> float:
    """A number that is not negative."""
    chance = random.random()
    if chance < 0.5:
        return random.randrange(100_000)
    return random.choice(FLOATS) if chance < 0.7 else random.random() * 10 ** random.randrange(-3, 9)


def whole(random: Random) -> int:
    """An integer that is not negative."""
    return random.randrange(5_000) if random.random() < 0.7 else random.choice(INTEGERS)


def flag(random: Random) -> bool:
    """True or false."""
    return random.random() < 0.5


def url(random: Random) -> str:
    """An address, up to 2048 characters: of our pages, of others, or none at all."""
    chance = random.random()
    if chance < 0.6:
        return random.choice(("/pricing", "/blog/a", "/careers", "/docs/x?y=z#top", "https://example.org/pricing/eu"))
    if chance < 0.8:
        return random.choice(("http://[", "//", "?", "#", "http://[::1]:99999/x", "https://ü.example/%zz", "/" * 300))
    return text(random, 0, 2048)


def custom_value(random: Random) -> Any:
    """A value of a custom fact."""
    kind = random.randrange(8)
    if kind == 0:
        return flag(random)
    if kind == 1:
        return random.choice((whole(random), -whole(random), -(2**63)))
    if kind == 2:
        return random.choice((amount(random), -amount(random)))
    if kind == 3:
        return None
    if kind == 4:
        return names(random)
    return long_text(random)


_SCALARS: Final[Sequence[Callable[[Random], Any]]] = (
    lambda random: None,
    flag,
    lambda random: random.choice((whole(random), -whole(random), 2**64 - 1, 10**30, 10**400)),
    amount,
    lambda random: text(random, 0, 300),
)


def json_value(random: Random, levels: int) -> Any:
    """Any JSON value of at most this many levels."""
    kind = random.randrange(9) if levels > 0 else random.randrange(5)
    if kind < 5:
        return _SCALARS[kind](random)
    count = random.choice((0, 1, 2, 4))
    if kind < 7:
        return [json_value(random, levels - 1) for _ in range(count)]
    return {text(random, 0, 40): json_value(random, levels - 1) for _ in range(count)}


def nested(random: Random, levels: int) -> Any:
    """A value of exactly this many levels of lists and objects."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value
