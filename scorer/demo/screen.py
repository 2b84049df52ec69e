"""Shows the demo: a live view in a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live

from scorer.demo.state import DemoState
from scorer.demo.summary import progress_line, service_lines
from scorer.demo.view import render

_LINE_SECONDS: Final = 2.0


class Screen(Protocol):
    """Shows a state; a context manager."""

    def show(self, state: DemoState) -> None:
        """Show the state; called a few times a second."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Restore the terminal."""


class LiveScreen:
    """The live view on the terminal's alternate screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def show(self, state: DemoState) -> None:
        """Draw it."""
        self._live.update(render(state, self._console.width), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class LineScreen:
    """A line every few seconds, and whenever a new phase begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0
        self._phase = ""
        self._service: Sequence[str] = ()

    def show(self, state: DemoState) -> None:
        """Print a line if one is due."""
        if state.service.url and (told := list(service_lines(state))) != self._service:
            self._service = told
            self._print("\n".join(told))
        now = time.monotonic()
        if now >= self._next or state.phase != self._phase:
            self._next = now + _LINE_SECONDS
            self._phase = state.phase
            self._print(progress_line(state))

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def screen_for(console: Console) -> Screen:
    """The live view if the console can show it."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console)
    return LineScreen(console)
