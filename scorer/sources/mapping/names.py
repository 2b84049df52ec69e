"""Names that senders invent, as names of activity types and of keys."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_OTHERS: Final = re.compile("[^a-z0-9]+")
_LONGEST: Final = 256
"""Characters that are looked at."""


# A company has few names, so a cache pays off.
@lru_cache(1024)
def as_name(written: str) -> str:
    """The text in lower case, with `_` for everything but letters and digits; empty if it has none of them."""
    ascii_only = unicodedata.normalize("NFKD", written[:_LONGEST]).encode("ascii", "ignore").decode()
    return _OTHERS.sub("_", ascii_only.lower()).strip("_")
