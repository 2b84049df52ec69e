"""Hot reload: changed rules on disk replace the running ones completely, or not at all."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from watchfiles import awatch

from scorer.domain.instant import to_text
from scorer.engines.engine import EngineName, MemoEngine
from scorer.evaluation.evaluator import Evaluator
from scorer.lint import too_large
from scorer.offline.ruleset_files import rule_files, rule_test_files
from scorer.rules.loader import parse_with_source
from scorer.rules.ruleset import Ruleset
from scorer.runtime.audit import Audit, AuditError
from scorer.runtime.file_state import state_of
from scorer.service.rules_source import Source, rules_source
from scorer.service.vetting import vet

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
        """Details for people."""
        return {"ok": self.error is None, "at": to_text(round(self.at) * 1_000_000), "error": self.error}


class SizeLimit(NamedTuple):
    """The most bytes of a state or a decision, and the other ruleset of the service at present, live or shadow: the
    state keeps what both declare."""

    limit: int
    beside: Callable[[], Ruleset | None]


class RulesAudit:
    """Records in the audit log which rules are in effect. `rules`: `live` or `shadow`; `location` is their place."""

    def __init__(self, audit: Audit, rules: str, location: Path, source_file: Path | None) -> None:
        self._audit = audit
        self._rules = rules
        self._location = location
        self._source_file = source_file

    def source(self, files: Mapping[str, bytes] | None) -> Source:
        """Where these files come from. It may take seconds. Never raises."""
        return rules_source(self._location, files, self._source_file)

    def in_effect(self, old: Ruleset | None, new: Ruleset, source: Source, why: str) -> None:
        """Record a change before it takes effect. Raises `AuditError`; then it must not."""
        revisions = {"from": None if old is None else old.revision, "to": new.revision}
        self._audit.write("rules_in_effect", rules=self._rules, ruleset=new.name, **revisions, why=why, source=source)

    def refused(self, kept: Ruleset | None, findings: Sequence[str], why: str) -> None:
        """Record rules that do not take effect. It may take seconds. Never raises."""
        with contextlib.suppress(AuditError):
            self._audit.write(
                "rules_change_refused",
                rules=self._rules,
                kept=None if kept is None else kept.revision,
                why=why,
                findings=findings[:_SHOWN],
                count=len(findings),
                source=self.source(None),
            )


def ruleset_fingerprint(location: Path) -> Fingerprint:
    """A value that changes whenever the rule files or their tests change. It reads only the directory. Never raises."""
    try:
        files = [*rule_files(location), *rule_test_files(location)]
        return (str(location.resolve()), *((str(path), *state_of(path)) for path in files))
    except Exception as error:  # noqa: BLE001 (a directory that is gone or unreadable is a state too)
        return (repr(error),)


class Reloader:
    """Watches one directory of rules.

    `current` gives the rules in effect. `adopt` makes others take effect (called on the event loop, between batches).
    `report` gets the end of each reload. `label` names the rules in the log. `known` is the fingerprint of the rules in
    effect. Rules over `size_limit` are refused, and so are rules that `audit` cannot record. A reload that is requested
    during another one follows it; several requests become one reload.
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
        size_limit: SizeLimit,
        audit: RulesAudit,
    ) -> None:
        self._label = label
        self._location = location
        self._engine = engine
        self._prefer = prefer
        self._current = current
        self._adopt = adopt
        self._report = report
        self._known = known
        self._size_limit = size_limit
        self._audit = audit
        self._requested = asyncio.Event()
        self._why = ""

    def request(self, why: str) -> None:
        """Reload soon. `why`: for the log."""
        self._why = why
        self._requested.set()

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self.reload()

    async def reload(self) -> Reload:
        """Check the rules on disk, which take effect if they are fine. Never raises."""
        started = time.monotonic()
        try:
            findings = await self._reload(started)
        except Exception as error:  # the running rules stay in effect after any error
            log.exception(f"{self._label}_reload_failed")
            findings = [f"{self._location}: error: {error!r}"]
        if findings is None:
            done = Reload("unchanged", time.time())
        elif not findings:
            done = Reload("loaded", time.time())
        else:
            done = Reload("refused", time.time(), "\n".join(findings[:_SHOWN]))
        self._report(done)
        if findings:
            kept = self._current()
            log.error(
                f"{self._label}_refused",
                why=self._why,
                kept=None if kept is None else kept.revision[:12],
                findings=findings[:_SHOWN],
                count=len(findings),
            )
            await asyncio.to_thread(self._audit.refused, kept, findings, self._why)
        return done

    async def _reload(self, started: float) -> list[str] | None:
        """The findings about the rules on disk; None if these rules are already in effect."""
        vetting = await vet(self._location, self._prefer)
        if vetting.findings:
            return vetting.findings
        old = self._current()
        if old is not None and old.revision == vetting.revision:
            log.info(f"{self._label}_unchanged", why=self._why, ruleset=old.name, in_force=old.revision[:12])
            return None
        ruleset, source = await asyncio.to_thread(parse_with_source, vetting.named_files())
        limit, beside = self._size_limit.limit, self._size_limit.beside()
        findings = await asyncio.to_thread(too_large, ruleset, source, limit, beside)
        if findings:
            return [str(finding) for finding in findings]
        evaluator = await self._compile(ruleset)
        where = await asyncio.to_thread(self._audit.source, vetting.named_files())
        if self._size_limit.beside() is not beside:  # the other rules changed meanwhile
            findings = too_large(ruleset, source, limit, self._size_limit.beside())
            if findings:
                return [str(finding) for finding in findings]
        new = evaluator.ruleset
        try:
            self._audit.in_effect(old, new, where, self._why)
        except AuditError as error:
            return [f"{self._location}: error: {error}"]
        self._adopt(evaluator)
        log.info(
            f"{self._label}_reloaded",
            why=self._why,
            ruleset=new.name,
            old=None if old is None else old.revision[:12],
            new=new.revision[:12],
            tests=vetting.tests,
            seconds=round(time.monotonic() - started, 3),
        )
        return []

    async def _compile(self, ruleset: Ruleset) -> Evaluator:
        # Compiling does not use the engine, so a thread can do it.
        evaluator = await asyncio.to_thread(Evaluator, ruleset, self._engine)
        # Only the loop uses the engine. A new table takes the engine some milliseconds, which must not happen in the
        # middle of a batch.
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
            except Exception as error:  # noqa: BLE001 (for example no more inotify watches)
                # Polling works too, with a little delay.
                log.warning(f"{self._label}_not_watched", error=repr(error), look_every_s=_LOOK_MS / 1000)
                await self._look_later()

    async def _watch_directory(self, directory: Path, identity: Fingerprint) -> None:
        """Look after every change and every few seconds, until another directory replaces this one."""
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
            # For changes before the watch started.
            await self._look()
            async for _ in changes:
                await self._look()
                if await asyncio.to_thread(_directory, self._location) != (directory, identity):
                    return

    async def _look_later(self) -> None:
        await asyncio.sleep(_LOOK_MS / 1000)
        await self._look()

    async def _look(self) -> None:
        fingerprint = await asyncio.to_thread(ruleset_fingerprint, self._location)
        if fingerprint != self._known:
            self._known = fingerprint
            self.request("files")


def _directory(location: Path) -> tuple[Path, Fingerprint]:
    """The directory to watch, and a value that distinguishes it from one that replaces it. Raises `OSError`."""
    directory = location.resolve(strict=True)
    if not directory.is_dir():
        directory = directory.parent
    status = directory.stat()
    return directory, (status.st_dev, status.st_ino)
