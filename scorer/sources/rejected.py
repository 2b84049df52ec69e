"""The error that every source raises for input that is not an activity."""

import json
from typing import Final

DETAIL_LENGTH: Final = 300


class Rejected(Exception):  # noqa: N818 (an answer with a reason, not an error in the service)
    """Input that is not an activity. `reason` is a short, stable name for metrics and dead letters. `detail` is a
    sentence with what was found and what was expected, but never the payload itself."""

    def __init__(self, reason: str, detail: str) -> None:
        if len(detail) > DETAIL_LENGTH:
            detail = detail[: DETAIL_LENGTH - 1] + "…"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def show(value: object) -> str:
    """An untrusted value, shortened and in printable ASCII."""
    if isinstance(value, str):
        return ascii(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**20):
        return json.dumps(value)
    return kind(value)


def kind(value: object) -> str:
    """The JSON type of a decoded value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
