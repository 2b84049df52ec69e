"""Hot reload: changed files of a ruleset's folder replace what is in effect completely, or not at all."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from scorer.domain.instant import to_text
from scorer.runtime.file_state import state_of

SHOWN: Final = 5
"""Findings in a line of a log."""
_QUIET_MS: Final = 200
_LONGEST_MS: Final = 2_000
_LOOK_MS: Final = 5_000

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


def fingerprint(location: Path, files: Callable[[Path], Iterable[Path]]) -> Fingerprint:
    """A value that changes whenever one of these files of a ruleset changes. It reads only folders. Never raises."""
    try:
        return (str(location.resolve()), *((str(path), *state_of(path)) for path in files(location)))
    except Exception as error:  # noqa: BLE001 (a directory that is gone or unreadable is a state too)
        return (repr(error),)


class Reloader(ABC):
    """Watches files in the folder of a ruleset.

    `label` names them in the log. `files` lists them. `known` is the fingerprint of those in effect. `report` gets the
    end of each reload. A reload that is requested during another one follows it; several requests become one reload.
    """

    def __init__(
        self,
        label: str,
        location: Path,
        files: Callable[[Path], Iterable[Path]],
        known: Fingerprint,
        report: Callable[[Reload], None],
    ) -> None:
        self._label = label
        self._location = location
        self._files = files
        self._known = known
        self._report = report
        self._requested = asyncio.Event()
        self._why = ""
        self.last: Reload | None = None
        """How the last one ended."""

    @abstractmethod
    async def _load(self) -> list[str] | None:
        """Check the files, which take effect if they are fine. The findings about them; None if they are in effect
        already."""

    @abstractmethod
    def _kept(self) -> Mapping[str, object]:
        """What stays in effect after a refusal, for the log."""

    @abstractmethod
    async def _record_refusal(self, findings: Sequence[str]) -> None:
        """Write a refusal to the audit log. Never raises."""

    def _folders(self) -> list[Path]:
        """The folders to watch. Raises `OSError`."""
        return [folder_of(self._location)]

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
        """Check the files on disk, which take effect if they are fine. Never raises."""
        try:
            findings = await self._load()
        except Exception as error:  # what is in effect stays so after any error
            log.exception(f"{self._label}_reload_failed")
            findings = [f"{self._location}: error: {error!r}"]
        if findings is None:
            done = Reload("unchanged", time.time())
        elif not findings:
            done = Reload("loaded", time.time())
        else:
            done = Reload("refused", time.time(), "\n".join(findings[:SHOWN]))
        self.last = done
        self._report(done)
        if findings:
            log.error(
                f"{self._label}_refused",
                why=self._why,
                **self._kept(),
                findings=findings[:SHOWN],
                count=len(findings),
            )
            await self._record_refusal(findings)
        return done

    async def _watch(self) -> None:
        while True:
            try:
                await self._watch_folders(*await asyncio.to_thread(self._identified))
            except FileNotFoundError:
                await self._look_later()
            except Exception as error:  # noqa: BLE001 (for example no more inotify watches)
                # Polling works too, with a little delay.
                log.warning(f"{self._label}_not_watched", error=repr(error), look_every_s=_LOOK_MS / 1000)
                await self._look_later()

    def _identified(self) -> tuple[list[Path], list[Fingerprint]]:
        """The folders to watch, and values that distinguish them from those that replace them. Raises `OSError`."""
        folders = self._folders()
        return folders, [(status.st_dev, status.st_ino) for status in (folder.stat() for folder in folders)]

    async def _watch_folders(self, folders: list[Path], identities: list[Fingerprint]) -> None:
        """Look after every change and every few seconds, until others replace these folders."""
        changes = awatch(
            *folders,
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
                if await asyncio.to_thread(self._identified) != (folders, identities):
                    return

    async def _look_later(self) -> None:
        await asyncio.sleep(_LOOK_MS / 1000)
        await self._look()

    async def _look(self) -> None:
        found = await asyncio.to_thread(fingerprint, self._location, self._files)
        if found != self._known:
            self._known = found
            self.request("files")


def folder_of(location: Path) -> Path:
    """The folder of a ruleset, behind all links. Raises `OSError`."""
    folder = location.resolve(strict=True)
    return folder if folder.is_dir() else folder.parent
