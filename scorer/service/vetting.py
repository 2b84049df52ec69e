"""Rules are read, checked and tried on their tests in a process of their own, before a running service takes them.

Whatever lies in the directory (a pipe, a file that unfolds to gigabytes, a table on which the engine crashes) then
costs that process, and not the service. What comes back is the bytes of the files together with the verdict, so that
what is taken is what was checked.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import read_rule_file, rule_files, rule_test_files
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.loader import parse_ruleset
from scorer.ruletests.run import Result, run_tests
from scorer.runtime.python_path import python_path

SECONDS: Final = 60
"""How long reading, checking and testing may take together."""

_MEMORY: Final = 1 << 30
_MOST_BYTES: Final = 16 << 20
_MOST_FINDINGS: Final = 100
_READINGS: Final = 20
_PAUSE: Final = 0.1
_NICE: Final = 10


class VettingReport(msgspec.Struct):
    """The rule files by name, the revision they make, and what is wrong with them (nothing: they are fine)."""

    files: dict[bytes, bytes] = {}
    revision: str = ""
    tests: int = 0
    findings: list[str] = []

    def named_files(self) -> dict[str, bytes]:
        """The files under the names they have in messages."""
        return {os.fsdecode(name): content for name, content in self.files.items()}


async def vet(location: Path, engine: EngineName | None, seconds: float = SECONDS) -> VettingReport:
    """Check the rules of a directory in a process of their own. Never raises; what goes wrong is a finding."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "scorer.service.vetting", str(location), engine or ""),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path(os.environ)},
            # Ctrl-C reaches the whole foreground group; this process ends when we say so.
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
    return _refused(location, f"the check ended with status {process.returncode}: {last or 'it said nothing'}")


def examine(location: Path, engine: EngineName | None) -> VettingReport:
    """Read, check and test the rules of a directory, here and now."""
    try:
        files, test_files = _read_twice(location)
        if not files:
            raise RulesetError([Finding(Position(str(location)), "no-files", "there is no rule file (*.yaml) here")])
        evaluator = Evaluator(parse_ruleset(files), default_engine(engine))
        findings: list[str] = []
        count = 0
        for result in run_tests(test_files, evaluator).results:
            count += 1
            findings += _findings(result)
    except RulesetError as error:
        return VettingReport(findings=[str(each) for each in error.findings])
    except OSError as error:
        return _refused(Path(error.filename or location), f"cannot be read: {error.strerror}")
    except MemoryError:
        return _refused(location, f"takes more than {_MEMORY >> 20} MiB of memory to check")
    return VettingReport(
        {os.fsencode(name): content for name, content in files.items()}, evaluator.ruleset.revision, count, findings
    )


def _read_twice(location: Path) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
    """The rule files and the test files, as they are when two readings in a row are equal: files that are being
    exchanged one after the other are not a ruleset."""
    found = _read(location)
    for _ in range(_READINGS):
        time.sleep(_PAUSE)
        before, found = found, _read(location)
        if before == found:
            return found
    raise RulesetError([Finding(Position(str(location)), "unstable", "the files change all the time")])


def _read(location: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    left = _MOST_BYTES
    found: list[dict[str, bytes]] = []
    for paths in (rule_files(location), rule_test_files(location)):
        files: dict[str, bytes] = {}
        for path in paths:
            content = files[str(path)] = read_rule_file(path)
            left -= len(content)
            if left < 0:
                message = f"the files are larger than {_MOST_BYTES:,} bytes together"
                raise RulesetError([Finding(Position(str(path)), "too-large", message)])
        found.append(files)
    return found[0], found[1]


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
    """`python -m scorer.service.vetting DIRECTORY ENGINE`: the verdict as MessagePack on stdout."""
    location, engine = sys.argv[1:]
    # What libraries print must not get among it.
    out = os.dup(1)
    os.dup2(2, 1)
    # The service goes first; and if it is gone, nobody waits for this.
    os.nice(_NICE)
    signal.alarm(SECONDS + 5)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    verdict = examine(Path(location), engine or None)  # type: ignore[arg-type]
    # Nobody reads thousands of them.
    shown = verdict.findings[:_MOST_FINDINGS]
    verdict.findings = [each.encode("utf-8", "surrogateescape").decode(errors="backslashreplace") for each in shown]
    with os.fdopen(out, "wb") as file:
        file.write(msgspec.msgpack.encode(verdict))


if __name__ == "__main__":
    main()
