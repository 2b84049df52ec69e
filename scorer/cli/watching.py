"""Repeat an action whenever the files of a ruleset change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

from watchfiles import watch

from scorer.offline.ruleset_files import read_rule_file, rule_files, rule_test_files
from scorer.rules.finding import RulesetError

QUIET_MS = 200
"""Editors save in several steps, so wait until nothing has changed for this long."""

LOOK_MS = 1000
"""Some network drives report no changes, so the files are also checked at this interval."""


def watch_rules(location: Path, run: Callable[[], object], changed: Callable[[list[str]], object]) -> None:
    """Call `run` now, and again whenever the content of a rule file or test file changes; ends with Ctrl-C.

    `changed` is called first, with the names of the changed files. Contents are compared, so no change during a run
    is missed, and a file saved without a change does not count.
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
    """Yields whenever something may have changed."""
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
            # The directory is gone for the moment, or the system limit of watched files is reached.
            sleep(LOOK_MS / 1000)
            yield None


def _contents(location: Path) -> dict[str, bytes]:
    """The content of every file, or the reason why it cannot be read."""
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
