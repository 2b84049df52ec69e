"""The evidence of a contribution: known values, cut to a bound. A decision repeats a value for each rule that used it,
so without a bound one large event could give a decision that no topic accepts."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from scorer.domain.decision import EvidenceValue

EVIDENCE_BYTES: Final = 1024
"""The most bytes that the value of one field takes in the JSON of a decision."""

_CUT: Final = "…"
_CHARACTER: Final = 6
"""The most bytes of one character in JSON: \\u0001."""

_encode: Final = msgspec.json.Encoder().encode


def within_bound(value: EvidenceValue) -> EvidenceValue:
    """The value if its JSON has at most `EVIDENCE_BYTES`; else its beginning, which says that it was cut.

    A text ends with "…". A list keeps its first items, and its last item says how many are missing: "… and 52 more".
    If not even the first item fits, this item is cut.
    """
    if isinstance(value, str):
        return _text(value, EVIDENCE_BYTES)
    if isinstance(value, list):
        return _list(value)
    return value


def _text(text: str, most: int) -> str:
    if _CHARACTER * len(text) + 2 <= most or _size(text) <= most:
        return text
    # Each character takes at least one byte, so no more than `most` of them need to be tried.
    kept = bisect_right(range(min(len(text), most)), most, key=lambda length: _size(text[:length] + _CUT)) - 1
    return text[:kept] + _CUT


def _list(items: list[str]) -> list[str]:
    if _CHARACTER * sum(map(len, items)) + 3 * len(items) + 2 <= EVIDENCE_BYTES or _size(items) <= EVIDENCE_BYTES:
        return items
    kept = 0
    while _size([*items[: kept + 1], *_rest(items, kept + 1)]) <= EVIDENCE_BYTES:
        kept += 1
    if kept:
        return [*items[:kept], *_rest(items, kept)]
    rest = _rest(items, 1)
    return [_text(items[0], EVIDENCE_BYTES - _size(["", *rest]) + 2), *rest]


def _rest(items: Sequence[str], kept: int) -> list[str]:
    return [f"{_CUT} and {len(items) - kept:,} more"] if kept < len(items) else []


def _size(value: str | list[str]) -> int:
    return len(_encode(value))
