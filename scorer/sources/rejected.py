"""The error for input that is not an activity, and for an activity that the rules do not accept."""

from typing import Final

from scorer.domain.printable import counted

DETAIL_LENGTH: Final = 300


class Rejected(Exception):  # noqa: N818 (an answer with a reason, not an error in the service)
    """Input that is not an activity, or that the rules do not accept from its sender. `reason` is a short, stable name
    for metrics and dead letters. `detail` is a sentence with what was found and what was expected. It never repeats a
    value, a key or a header that was sent, nor a name that neither the contract nor the rules have: `described` says
    what is known of them."""

    def __init__(self, reason: str, detail: str) -> None:
        if len(detail) > DETAIL_LENGTH:
            detail = detail[: DETAIL_LENGTH - 1] + "…"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def described(value: object) -> str:
    """The kind of a decoded value and its length. Never the value, nor a part of it: a detail is read by more people
    than the record, and outlives it in logs and headers."""
    match value:
        case "":
            return "an empty string"
        case str():
            return f"a string of {counted(len(value), 'character')}"
        case list():
            return f"a list of {counted(len(value), 'item')}"
        case _:
            return kind(value)


def described_name(name: str) -> str:
    """A name that the sender made up, for instance an unknown key: only its length, because a name can be personal."""
    return f"<name of {counted(len(name), 'character')}>"


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
