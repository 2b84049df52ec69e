"""Tracebacks for the log when our code fails on a lead."""

import traceback


def traceback_of(error: BaseException) -> str:
    """The traceback of the error and of its causes: classes, files, lines, code. The messages are left out, because an
    error that was raised while we processed a lead may quote it."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(current).__qualname__} (message left out)")
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return "\n\ncaused by\n\n".join(parts)
