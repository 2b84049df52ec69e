"""Formats of times in texts, as `strptime` of Python has them: which ones a mapping can use."""

import re
from datetime import UTC, datetime
from typing import Final

_CODES: Final = "dmbBYyHIMSfpz"
"""Without what names no time (`%A`) and what depends on the machine (`%Z`, `%c`, `%x`, `%X`)."""
_CODE: Final = re.compile("%(.?)", re.DOTALL)
_EXAMPLE: Final = datetime(2026, 11, 23, 14, 5, 36, tzinfo=UTC)
"""No two of its parts are equal, so none is taken for another one."""


def check_time_format(text: str) -> None:
    """Raises `ValueError` if the text is no format, or does not say of every time which one it is."""
    for code in _CODE.findall(text):
        if code not in [*_CODES, "%"]:
            raise ValueError(f"`%{code}` is no part of a time; use {', '.join(f'%{known}' for known in _CODES)}")
    try:
        found = datetime.strptime(_EXAMPLE.strftime(text), text)
    except (ValueError, re.error):
        raise ValueError("no time can be read by this format; is a part of it written twice?") from None
    if found.date() != _EXAMPLE.date():
        raise ValueError("expected day, month and year, as in %d.%m.%Y")
    if found.hour not in (0, _EXAMPLE.hour):
        raise ValueError("%I is an hour of half a day; write %p beside it, or %H for all hours")
