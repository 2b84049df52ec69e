"""A process of its own reads, checks and tests rules, or mapping files, before they take effect in a running service.

Anything bad in the directory (a pipe, a file that unfolds to gigabytes, a table on which the engine crashes) costs that
process and not the service. The report contains the bytes of the files, so the service uses exactly what was checked.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import read_rule_file, rule_files, rule_test_files
from scorer.offline.source_files import check_source_file, misnamed_files, source_files
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.loader import parse_ruleset
from scorer.ruletests.run import Result, run_tests
from scorer.runtime.python_path import python_path

SECONDS: Final = 60
"""The time limit for reading, checking and testing together."""

_MEMORY: Final = 1 << 30
_MAX_BYTES: Final = 16 << 20
_MAX_FINDINGS: Final = 100
_READINGS: Final = 20
_PAUSE: Final = 0.1
_NICE: Final = 10
_MAPPINGS: Final = "mappings"


class VettingReport(msgspec.Struct):
    """The files by name, the revision of the rules, the number of tests, and the findings (none: all is fine)."""

    files: dict[bytes, bytes] = {}
    revision: str = ""
    tests: int = 0
    findings: list[str] = []

    def named_files(self) -> dict[str, bytes]:
        """The files by the names that messages use."""
        return {os.fsdecode(name): content for name, content in self.files.items()}


async def vet(location: Path, engine: EngineName | None, seconds: float = SECONDS) -> VettingReport:
    """Check the rules of a directory in a process of its own. Never raises; an error is a finding."""
    return await _vet(location, engine or "", seconds)


async def vet_mappings(location: Path) -> VettingReport:
    """Check the mapping files and the job titles beside rules, as `vet` checks the rules."""
    return await _vet(location, _MAPPINGS, SECONDS)


async def _vet(location: Path, what: str, seconds: float) -> VettingReport:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "scorer.service.vetting", str(location), what),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path(os.environ)},
            # Ctrl-C reaches the whole foreground group, and this process must not end by it.
            start_new_session=True,
        )
    except OSError as error:
        return _refused(location, f"the check cannot be started: {error.strerror}")
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        return _refused(location, f"not read, checked and tested within {seconds:g} seconds")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            return msgspec.msgpack.decode(out, type=VettingReport)
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    return _refused(location, f"the check ended with status {process.returncode}: {last or 'it printed nothing'}")


def examine(location: Path, engine: EngineName | None) -> VettingReport:
    """Read, check and test the rules of a directory in this process."""

    def examined() -> VettingReport:
        files, test_files = _read_twice(location, rule_files, rule_test_files)
        if not files:
            raise RulesetError([Finding(Position(str(location)), "no-files", "there is no rule file (*.yaml) here")])
        evaluator = Evaluator(parse_ruleset(files), default_engine(engine))
        findings: list[str] = []
        count = 0
        for result in run_tests(test_files, evaluator).results:
            count += 1
            findings += _findings(result)
        return VettingReport(_by_bytes(files), evaluator.ruleset.revision, count, findings)

    return _reported(location, examined)


def examine_mappings(location: Path) -> VettingReport:
    """Read and check the mapping files and the job titles beside rules in this process, as `scorer check` does."""

    def examined() -> VettingReport:
        (files,) = _read_twice(location, source_files)
        findings = misnamed_files(location)
        for file, content in files.items():
            findings += check_source_file(location, Path(file), content)
        return VettingReport(
            _by_bytes(files), findings=[str(finding) for finding in findings if finding.level == "error"]
        )

    return _reported(location, examined)


def _reported(location: Path, examined: Callable[[], VettingReport]) -> VettingReport:
    try:
        return examined()
    except RulesetError as error:
        return VettingReport(findings=[str(finding) for finding in error.findings])
    except OSError as error:
        return _refused(Path(error.filename or location), f"cannot be read: {error.strerror}")
    except MemoryError:
        return _refused(location, f"takes more than {_MEMORY >> 20} MiB of memory to check")


def _by_bytes(files: Mapping[str, bytes]) -> dict[bytes, bytes]:
    return {os.fsencode(name): content for name, content in files.items()}


def _read_twice(location: Path, *listings: Callable[[Path], Iterable[Path]]) -> Sequence[Mapping[str, bytes]]:
    """The files of each listing, once two readings in a row are equal: files that are being replaced one after the
    other are not a ruleset."""
    current = _read(location, listings)
    for _ in range(_READINGS):
        time.sleep(_PAUSE)
        before, current = current, _read(location, listings)
        if before == current:
            return current
    raise RulesetError([Finding(Position(str(location)), "unstable", "the files keep changing")])


def _read(location: Path, listings: Iterable[Callable[[Path], Iterable[Path]]]) -> Sequence[Mapping[str, bytes]]:
    bytes_left = _MAX_BYTES
    groups: list[dict[str, bytes]] = []
    for listing in listings:
        files: dict[str, bytes] = {}
        for path in listing(location):
            content = files[str(path)] = read_rule_file(path)
            bytes_left -= len(content)
            if bytes_left < 0:
                message = f"the files are larger than {_MAX_BYTES:,} bytes together"
                raise RulesetError([Finding(Position(str(path)), "too-large", message)])
        groups.append(files)
    return groups


def _findings(result: Result) -> list[str]:
    if result.outcome == "pass":
        return []
    if result.outcome == "error":
        return list(result.details)
    detail = result.details[0] if result.details else ""
    return [str(Finding(result.position, "test-failed", f"the test `{result.name}` failed: {detail}"))]


def _refused(location: Path, message: str) -> VettingReport:
    return VettingReport(findings=[str(Finding(Position(str(location)), "not-checked", message))])


def main() -> None:
    """`python -m scorer.service.vetting DIRECTORY ENGINE|mappings`: write the report as MessagePack to stdout."""
    location, what = sys.argv[1:]
    # Output of libraries must not mix with the report.
    out = os.dup(1)
    os.dup2(2, 1)
    # The service has priority. If it is gone, the alarm ends this process.
    os.nice(_NICE)
    signal.alarm(SECONDS + 5)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rules = Path(location)
    report = examine_mappings(rules) if what == _MAPPINGS else examine(rules, what or None)  # type: ignore[arg-type]
    # Nobody reads thousands of findings.
    shown = report.findings[:_MAX_FINDINGS]
    report.findings = [text.encode("utf-8", "surrogateescape").decode(errors="backslashreplace") for text in shown]
    with os.fdopen(out, "wb") as file:
        file.write(msgspec.msgpack.encode(report))


if __name__ == "__main__":
    main()
