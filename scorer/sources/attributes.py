"""What the attributes of an activity may be, for both ways of reading one."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import msgspec

from scorer.domain.activity import TYPE_PATTERN
from scorer.domain.instant import DAY, from_datetime

MAX_AHEAD: Final = DAY
"""An event may be this far ahead of now, in microseconds: clocks differ, but no lead acts next year."""
EARLIEST: Final = from_datetime(datetime.fromisoformat("0001-01-01T00:00:00Z"))
LENGTHS: Final[Mapping[str, int]] = {"id": 256, "source": 1024, "type": 128, "subject": 256}
"""Characters of an attribute, at most."""
TYPE: Final = re.compile(TYPE_PATTERN)

Aware = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with a zone."""
