"""Durations as people write them in rule files: `45s`, `30m`, `1h`, `14d`, `2w`, `2y`. A year has 365 days."""

import re

from scorer.domain.instant import DAY, HOUR, SECOND

PATTERN = r"^[0-9]+(\.[0-9]+)?[smhdwy]$"

_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}


def parse(text: str) -> int:
    """The duration in microseconds. Raises `ValueError` if the text is not a positive number and a unit."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"`{text}` is not a duration; write a number and one of s, m, h, d, w, y, as in 14d")
    duration = round(float(text[:-1]) * _UNITS[text[-1]])
    if not 0 < duration <= 36_500 * DAY:
        raise ValueError(f"`{text}` is out of range; it must be over 0 and at most 36500d")
    return duration
