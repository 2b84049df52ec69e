"""Durations as people write them in rule files: `45s`, `30m`, `1h`, `14d`, `2w`, `2y`. A year has 365 days."""

import re

from scorer.domain.instant import DAY, HOUR, SECOND

PATTERN = r"^[0-9]+(\.[0-9]+)?[smhdwy]$"

_MOST = 1 << 40
_SHOWN = 40
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}


def parse(text: str) -> int:
    """The duration in microseconds. Raises `ValueError` if the text is not a positive number and a unit."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"`{text}` is not a duration; write a number and one of s, m, h, d, w, y, as in 14d")
    number = float(text[:-1])
    # So many seconds are more than the most days; more digits would not fit into a number.
    duration = round(number * _UNITS[text[-1]]) if number < _MOST else _MOST * SECOND
    if not 0 < duration <= 36_500 * DAY:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise ValueError(f"`{shown}` is out of range; it must be over 0 and at most 36500d")
    return duration
