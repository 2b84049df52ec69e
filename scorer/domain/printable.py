"""Text from outside, made safe for a terminal."""

from typing import Final

NAME_WIDTH: Final = 40
"""The most characters of a name in a table or a panel. A lead id or a company may have 256."""


def printable(text: str) -> str:
    """The text on one line, safe for every terminal and every UTF-8 file. Characters that control a terminal, change
    the writing direction or break the line, and those without a UTF-8 form, become escapes. Idempotent."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """The same for a text whose newlines are ours: they stay."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, longest: int = NAME_WIDTH) -> str:
    """The printable text, cut to `longest` characters; an ellipsis says that it was cut."""
    text = printable(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def counted(number: int, unit: str) -> str:
    """`1 item`, `2,000 items`, `2 activities`, `2 keys`."""
    if number == 1:
        return f"1 {unit}"
    if unit.endswith("y") and unit[-2] not in "aeiou":
        return f"{number:,} {unit[:-1]}ies"
    return f"{number:,} {unit}s"
