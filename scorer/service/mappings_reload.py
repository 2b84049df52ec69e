"""Mapping files and job titles that change on disk replace those in effect completely, or not at all."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import structlog

from scorer.offline.source_files import FOLDER, source_files, sources_of, used_files
from scorer.rules.finding import RulesetError
from scorer.runtime.audit import Audit, AuditError
from scorer.service.reload import SHOWN, Fingerprint, Reload, Reloader, fingerprint, folder_of
from scorer.service.rules_source import Source as Origin
from scorer.service.rules_source import rules_source
from scorer.service.vetting import vet_mappings
from scorer.sources.source import Source

log = structlog.get_logger()


def mappings_fingerprint(location: Path) -> Fingerprint:
    """A value that changes whenever the mapping files or the job titles change. Never raises."""
    return fingerprint(location, source_files)


class MappingsAudit:
    """Records in the audit log which mapping files and job titles are in effect. `location`: of the ruleset."""

    def __init__(self, audit: Audit, location: Path, source_file: Path | None) -> None:
        self._audit = audit
        self._location = location
        self._source_file = source_file

    def source(self) -> Origin:
        """Where the files come from. It may take seconds. Never raises."""
        return rules_source(self._location, None, self._source_file)

    def in_effect(self, files: Mapping[str, bytes], source: Origin, why: str) -> None:
        """Record all files before they take effect. Raises `AuditError`; then they must not."""
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        self._audit.write("mappings_in_effect", files=digests, why=why, source=source)

    def refused(self, findings: Sequence[str], why: str) -> None:
        """Record files that do not take effect. It may take seconds. Never raises."""
        shown, count = findings[:SHOWN], len(findings)
        with contextlib.suppress(AuditError):
            self._audit.write("mappings_change_refused", why=why, findings=shown, count=count, source=self.source())


class MappingsReloader(Reloader):
    """Watches the mapping files and the job titles of a ruleset.

    `names`: the sources of the service. `in_effect`: the files by which they translate, by path. `adopt` makes other
    sources take effect, all of these names (called on the event loop). Files that `audit` cannot record are refused.
    """

    def __init__(
        self,
        location: Path,
        names: Collection[str],
        in_effect: Mapping[str, bytes],
        adopt: Callable[[Mapping[str, Source]], None],
        report: Callable[[Reload], None],
        known: Fingerprint,
        audit: MappingsAudit,
    ) -> None:
        super().__init__("mappings", location, source_files, known, report)
        self._names = names
        self._in_effect = in_effect
        self._adopt = adopt
        self._audit = audit

    def _kept(self) -> Mapping[str, object]:
        return {"sources": [*self._names]}

    async def _record_refusal(self, findings: Sequence[str]) -> None:
        await asyncio.to_thread(self._audit.refused, findings, self._why)

    def _folders(self) -> list[Path]:
        folder = folder_of(self._location)
        own = folder / FOLDER
        return [folder, own.resolve()] if own.is_dir() else [folder]

    async def _load(self) -> list[str] | None:
        started = time.monotonic()
        vetting = await vet_mappings(self._location)
        if vetting.findings:
            return vetting.findings
        # Without those of other sources, which the service does not use.
        files = used_files(self._names, self._location, vetting.named_files())
        changes = _changes(self._in_effect, files)
        if not changes:
            log.info("mappings_unchanged", why=self._why, **self._kept())
            return None
        try:
            sources = await asyncio.to_thread(sources_of, self._names, self._location, files)
        except RulesetError as error:
            return [str(finding) for finding in error.findings]
        where = await asyncio.to_thread(self._audit.source)
        try:
            self._audit.in_effect(files, where, self._why)
        except AuditError as error:
            return [f"{self._location}: error: {error}"]
        self._adopt(sources)
        self._in_effect = files
        seconds = round(time.monotonic() - started, 3)
        log.info("mappings_reloaded", why=self._why, files=changes, **self._kept(), seconds=seconds)
        return []


def _changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, str]:
    """What became of each file that is not the same."""
    changes: dict[str, str] = {}
    for file in sorted(old.keys() | new.keys()):
        if file not in new:
            changes[file] = "removed"
        elif file not in old:
            changes[file] = "added"
        elif old[file] != new[file]:
            changes[file] = "changed"
    return changes
