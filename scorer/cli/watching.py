"""Do something again whenever the files of a ruleset change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

from watchfiles import watch

from scorer.offline.ruleset_files import read_rule_file, rule_files, rule_test_files
from scorer.rules.finding import RulesetError

QUIET_MS = 200
"""Editors write in several steps: a change is looked at when so long nothing more has happened."""

LOOK_MS = 1000
"""Where nothing was told, as on some network drives, the files are looked at all the same after so long."""


def watch_rules(location: Path, run: Callable[[], object], changed: Callable[[list[str]], object]) -> None:
    """Call `run` now, and again whenever a rule file or test file has another content than before; ends with Ctrl-C.

    `changed` is told before which files differ. What counts is the content, so that nothing is missed between a run and
    the next look, and that a file saved without a change is none.
    """
    directory = location if location.is_dir() else location.parent
    seen = _contents(location)
    run()
    for _ in _occasions(directory):
        now = _contents(location)
        different = sorted(name for name in seen.keys() | now.keys() if seen.get(name) != now.get(name))
        if different:
            seen = now
            changed(different)
            run()


def _occasions(directory: Path) -> Iterator[object]:
    """Whenever something may have changed."""
    while True:
        try:
            yield from watch(
                directory,
                watch_filter=None,
                step=QUIET_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                recursive=False,
            )
        except OSError:
            # The directory is gone just now, or the system watches no more files for us.
            sleep(LOOK_MS / 1000)
            yield None


def _contents(location: Path) -> dict[str, bytes]:
    """The content of every file, or why it cannot be had."""
    try:
        paths = [*rule_files(location), *rule_test_files(location)]
    except (RulesetError, OSError) as error:
        return {str(location): str(error).encode()}
    return {str(path): _content(path) for path in paths}


def _content(path: Path) -> bytes:
    try:
        return read_rule_file(path)
    except RulesetError as error:
        return str(error).encode()
