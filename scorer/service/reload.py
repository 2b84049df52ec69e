"""Hot reload: rules that changed on disk replace the running ones as a whole, or not at all."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from scorer.domain.instant import to_text
from scorer.engines.engine import EngineName, MemoEngine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import rule_files, rule_test_files
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.rules.ruleset import Ruleset
from scorer.service.vetting import VettingReport, vet

_QUIET_MS: Final = 200
_LONGEST_MS: Final = 2_000
_LOOK_MS: Final = 5_000
_SHOWN: Final = 5

log = structlog.get_logger()

Fingerprint = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """How a reload ended. `outcome`: `loaded`, `unchanged` or `refused`; `at` in seconds since the epoch."""

    outcome: str
    at: float
    error: str | None = None

    def details(self) -> dict[str, object]:
        """For people."""
        return {"ok": self.error is None, "at": to_text(round(self.at) * 1_000_000), "error": self.error}


def ruleset_fingerprint(location: Path) -> Fingerprint:
    """Changes whenever the rule files or their tests do; costs a look at the directory. Never raises."""
    try:
        files = [*rule_files(location), *rule_test_files(location)]
        return (str(location.resolve()), *(_state(path) for path in files))
    except Exception as error:  # noqa: BLE001 (a directory that is gone or unreadable is a state, too)
        return (repr(error),)


def _state(path: Path) -> Fingerprint:
    try:
        found = path.stat()
    except OSError as error:
        return (str(path), repr(error))
    return (str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Reloader:
    """Watches one directory of rules.

    `current` gives the rules in force, `adopt` puts others in force (called on the event loop, between two batches),
    `report` is told how each reload ended. `label` names the rules in the log, `known` is the fingerprint
    of what is in force. A reload that is asked for during another is done after it; several are done as one.
    """

    def __init__(
        self,
        label: str,
        location: Path,
        engine: MemoEngine,
        prefer: EngineName | None,
        current: Callable[[], Ruleset | None],
        adopt: Callable[[Evaluator], None],
        report: Callable[[Reload], None],
        known: Fingerprint,
    ) -> None:
        self._label = label
        self._location = location
        self._engine = engine
        self._prefer = prefer
        self._current = current
        self._adopt = adopt
        self._report = report
        self._known = known
        self._asked = asyncio.Event()
        self._why = ""

    def request(self, why: str) -> None:
        """Reload soon. `why`: for the log."""
        self._why = why
        self._asked.set()

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def reload(self) -> Reload:
        """Check the rules on disk and put them in force if they are fine. Never raises."""
        started = time.monotonic()
        try:
            findings = await self._reload(started)
        except Exception as error:  # the running rules stay in force, whatever this is
            log.exception(f"{self._label}_reload_failed")
            findings = [f"{self._location}: error: {error!r}"]
        if findings is None:
            done = Reload("unchanged", time.time())
        elif not findings:
            done = Reload("loaded", time.time())
        else:
            done = Reload("refused", time.time(), "\n".join(findings[:_SHOWN]))
            kept = self._current()
            log.error(
                f"{self._label}_refused",
                why=self._why,
                kept=None if kept is None else kept.revision[:12],
                findings=findings[:_SHOWN],
                count=len(findings),
            )
        self._report(done)
        return done

    async def _reload(self, started: float) -> list[str] | None:
        """What is wrong with the rules on disk; None where they are those in force."""
        verdict = await vet(self._location, self._prefer)
        if verdict.findings:
            return verdict.findings
        old = self._current()
        if old is not None and old.revision == verdict.revision:
            log.info(f"{self._label}_unchanged", why=self._why, ruleset=old.name, in_force=old.revision[:12])
            return None
        evaluator = await self._load(verdict)
        self._adopt(evaluator)
        new = evaluator.ruleset
        log.info(
            f"{self._label}_reloaded",
            why=self._why,
            ruleset=new.name,
            old=None if old is None else old.revision[:12],
            new=new.revision[:12],
            tests=verdict.tests,
            seconds=round(time.monotonic() - started, 3),
        )
        return []

    async def _load(self, verdict: VettingReport) -> Evaluator:
        # Compiling asks the engine nothing, so it may be done beside the loop.
        evaluator = await asyncio.to_thread(_compiled, verdict.named_files(), self._engine)
        # The engine is used on the loop alone. A table that it has not met yet takes it some milliseconds; so none of
        # them is met in the middle of a batch.
        for _ in evaluator.prepare():
            await asyncio.sleep(0)
        return evaluator

    async def _watch(self) -> None:
        while True:
            try:
                directory = await asyncio.to_thread(_directory, self._location)
                await self._watch_directory(*directory)
            except FileNotFoundError:
                await self._look_later()
            except Exception as error:  # noqa: BLE001 (no more inotify watches, say)
                # Looking now and then does as well, a little later.
                log.warning(f"{self._label}_not_watched", error=repr(error), look_every_s=_LOOK_MS / 1000)
                await self._look_later()

    async def _watch_directory(self, directory: Path, identity: Fingerprint) -> None:
        """Look after every change and every few seconds, until another directory stands in its place."""
        changes = awatch(
            directory,
            watch_filter=None,
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        async with contextlib.aclosing(changes):
            # What changed before the watch stood.
            await self._look()
            async for _ in changes:
                await self._look()
                if await asyncio.to_thread(_directory, self._location) != (directory, identity):
                    return

    async def _look_later(self) -> None:
        await asyncio.sleep(_LOOK_MS / 1000)
        await self._look()

    async def _look(self) -> None:
        found = await asyncio.to_thread(ruleset_fingerprint, self._location)
        if found != self._known:
            self._known = found
            self.request("files")


def _compiled(files: RuleFiles, engine: MemoEngine) -> Evaluator:
    return Evaluator(parse_ruleset(files), engine)


def _directory(location: Path) -> tuple[Path, Fingerprint]:
    """The directory to be watched, and what tells it from another that takes its place. Raises `OSError`."""
    found = location.resolve(strict=True)
    if not found.is_dir():
        found = found.parent
    state = found.stat()
    return found, (state.st_dev, state.st_ino)
