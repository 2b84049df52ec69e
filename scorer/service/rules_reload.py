"""Rules that change on disk replace the running ones completely, or not at all."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from scorer.engines.engine import EngineName, MemoEngine
from scorer.evaluation.evaluator import Evaluator
from scorer.lint import too_large
from scorer.offline.ruleset_files import rule_files, rule_test_files
from scorer.rules.loader import parse_with_source
from scorer.rules.ruleset import Ruleset
from scorer.runtime.audit import Audit, AuditError
from scorer.service.reload import SHOWN, Fingerprint, Reload, Reloader, fingerprint
from scorer.service.rules_source import Source, rules_source
from scorer.service.vetting import vet

log = structlog.get_logger()


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
                findings=findings[:SHOWN],
                count=len(findings),
                source=self.source(None),
            )


def ruleset_files(location: Path) -> list[Path]:
    """The rule files of a directory and their tests. Raises `RulesetError` and `OSError`."""
    return [*rule_files(location), *rule_test_files(location)]


def ruleset_fingerprint(location: Path) -> Fingerprint:
    """A value that changes whenever the rule files or their tests change. Never raises."""
    return fingerprint(location, ruleset_files)


class RulesReloader(Reloader):
    """Watches one directory of rules.

    `current` gives the rules in effect. `adopt` makes others take effect (called on the event loop, between batches).
    Rules over `size_limit` are refused, and so are rules that `audit` cannot record.
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
        super().__init__(label, location, ruleset_files, known, report)
        self._engine = engine
        self._prefer = prefer
        self._current = current
        self._adopt = adopt
        self._size_limit = size_limit
        self._audit = audit

    def _kept(self) -> Mapping[str, object]:
        kept = self._current()
        return {"kept": None if kept is None else kept.revision[:12]}

    async def _record_refusal(self, findings: Sequence[str]) -> None:
        await asyncio.to_thread(self._audit.refused, self._current(), findings, self._why)

    async def _load(self) -> list[str] | None:
        started = time.monotonic()
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
