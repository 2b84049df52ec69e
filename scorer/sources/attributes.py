"""What the attributes of an activity may be, for both ways of reading one."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from scorer.domain.activity import TYPE_PATTERN
from scorer.domain.instant import DAY, from_datetime

MAX_AHEAD: Final = DAY
"""An event may be this far ahead of now, in microseconds: clocks differ, but no lead acts next year."""
EARLIEST: Final = from_datetime(datetime.fromisoformat("0001-01-01T00:00:00Z"))
LENGTHS: Final[Mapping[str, int]] = {"id": 256, "source": 1024, "type": 128, "subject": 256}
"""Characters of an attribute, at most."""
_TYPE: Final = re.compile(TYPE_PATTERN)

Aware = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with a zone."""


# A company has few types of its own: 0.06 µs instead of 0.21.
@lru_cache(1024)
def is_type(text: str) -> bool:
    """It may be the type of an activity, built in or of your own."""
    return _TYPE.fullmatch(text) is not None
