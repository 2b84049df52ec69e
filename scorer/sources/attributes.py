"""Limits on the attributes of an activity, shared by both parsers."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from scorer.domain.activity import TYPE_PATTERN
from scorer.domain.instant import DAY, from_datetime

MAX_AHEAD: Final = DAY
"""How far an event may be ahead of now, in microseconds. Clocks differ, but no lead acts next year."""
EARLIEST: Final = from_datetime(datetime.fromisoformat("0001-01-01T00:00:00Z"))
LENGTHS: Final[Mapping[str, int]] = {"id": 256, "source": 1024, "type": 128, "subject": 256}
"""Maximum length of an attribute, in characters."""
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_TYPE: Final = re.compile(TYPE_PATTERN)

Aware = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with a time zone."""


class _Moment(msgspec.Struct):
    at: Aware


def aware(text: str) -> datetime:
    """The moment of an RFC 3339 time with a zone. Raises `msgspec.ValidationError`."""
    # The library prepares any other type at each call, which takes longer than the conversion.
    return msgspec.convert({"at": text}, _Moment).at


# A company has few custom types, so a cache pays off: see benchmarks/README.md.
@lru_cache(1024)
def is_type(text: str) -> bool:
    """Whether the text is a valid activity type, built-in or custom."""
    return _TYPE.fullmatch(text) is not None
