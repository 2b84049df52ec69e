"""What converts one value that a sender wrote, and why it cannot."""

from collections.abc import Callable
from typing import Final

from scorer.domain.unfitting import Reason


class Unfit(Exception):  # noqa: N818 (an answer with a reason, not an error in the service)
    """A value is there but cannot be converted. It never repeats the value, which may be personal."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Final = reason


Converter = Callable[[object], object | None]
"""From a decoded JSON value to what the activity carries; None if there is no value. Raises `Unfit`.

A converter is pure, and its time is bounded for any input: what is longer than the field can be is refused unread.
"""


def text_of(value: object, most: int) -> str | None:
    """The text without spaces around it; None for null and for a blank text.

    Raises `Unfit` if it is not a text, or has more than `most` characters.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unfit("wrong_type")
    text = value.strip()
    if len(text) > most:
        raise Unfit("too_long")
    return text or None
