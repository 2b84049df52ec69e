"""Known vulnerabilities of all packages in the locks: `make audit`.

pip-audit asks the advisories of the package index, or those of OSV if the index has none. Exit status 0: no finding, or
the advisories could not be reached, which the last line says. Exit status 1: a finding that tests/supply/audit.toml
does not accept, or an entry there that is over, or that no finding needs. Exit status 2: pip-audit itself failed.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.supply.locks import LOCKS, ROOT, SUPPLY, pins

ACCEPTED: Final = SUPPLY / "audit.toml"
_SECONDS: Final = 300
_FEW: Final = 10
_UNREACHABLE: Final = (
    "ConnectionError",
    "ServiceError",
    "ConnectTimeout",
    "Max retries",
    "failed to connect",
    "timed out",
)


class Finding(NamedTuple):
    """A known vulnerability: its ids, the first one first, and the versions without it."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version without it is known"
        return f"{self.package} {self.version}: {', '.join(self.ids)}; {fixed}"


class Looked(NamedTuple):
    """What an advisory service answered: packages that it knows, those that it does not, and its findings."""

    known: frozenset[str]
    unknown: frozenset[str]
    findings: tuple[Finding, ...]


class AuditError(Exception):
    """pip-audit failed, and not because its data could not be reached."""


def looked(report: Mapping[str, Any]) -> Looked:
    """What a report of pip-audit says (its JSON)."""
    known, unknown, findings = set(), set(), []
    for package in report["dependencies"]:
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            unknown.add(package["name"])
            continue
        known.add(name)
        for each in package["vulns"]:
            ids = (each["id"], *each.get("aliases", ()))
            findings.append(Finding(package["name"], package["version"], ids, tuple(each.get("fix_versions", ()))))
    return Looked(frozenset(known), frozenset(unknown), tuple(dict.fromkeys(findings)))


def complaints(
    findings: Iterable[Finding], accepted: Sequence[Mapping[str, Any]], today: datetime.date, *, complete: bool
) -> Iterator[str]:
    """One line for each finding that nobody accepts and each entry that is over. If all packages were looked up
    (`complete`), also for each entry that no finding needs."""
    needed = set()
    for finding in findings:
        entry = next(
            (each for each in accepted if each["package"] == finding.package and each["id"] in finding.ids), None
        )
        if entry is None:
            yield str(finding)
        else:
            needed.add(entry["id"])
            if entry["until"] < today:
                yield f"{finding}; it was accepted until {entry['until']}"
    if complete:
        for entry in accepted:
            if entry["id"] not in needed:
                yield f"{entry['id']} of {entry['package']} is accepted in {ACCEPTED.name}, but nothing has it"


def ask(versions: Mapping[str, str], service: Sequence[str]) -> Looked | None:
    """What a service says of these versions; None if it cannot be reached. Raises `AuditError`."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--no-deps",
        "-f",
        "json",
        "--progress-spinner",
        "off",
    ]
    command += [
        "--desc",
        "off",
        "--aliases",
        "on",
        "--timeout",
        "10",
        "--cache-dir",
        str(ROOT / ".cache" / "pip-audit"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        return answer_of([*command, "-r", str(path), *service])


def answer_of(command: Sequence[str]) -> Looked | None:
    """What pip-audit prints; None if it reached nothing. Raises `AuditError`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.stdout.startswith("{"):
        answer = looked(json.loads(done.stdout))
        return answer if answer.known else None
    if any(sign in done.stderr for sign in _UNREACHABLE):
        return None
    raise AuditError(done.stderr.strip() or f"pip-audit ended with status {done.returncode}")


def audit(versions: Iterable[tuple[str, str]], services: Iterable[Sequence[str]]) -> Looked:
    """What the first service that can be reached says of these packages. Without one, nothing is known."""
    wanted = sorted(set(versions))
    groups = by_name_once(wanted)
    for service in services:
        # One package tells whether the service answers, before it is asked for hundreds.
        first = dict(wanted[:1]) if len(wanted) > _FEW else groups[0]
        answers = [ask(first, service)]
        if answers[0] is not None:
            answers += [ask(group, service) for group in groups if group is not first]
        known = [answer for answer in answers if answer is not None]
        if len(known) == len(answers):
            return Looked(
                frozenset[str]().union(*(answer.known for answer in known)),
                frozenset[str]().union(*(answer.unknown for answer in known)),
                tuple(dict.fromkeys(finding for answer in known for finding in answer.findings)),
            )
    return Looked(frozenset(), frozenset(name for name, _ in wanted), ())


def by_name_once(versions: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """These packages in groups that have each name once: pip-audit refuses two versions, and two locks may pin them."""
    groups: list[dict[str, str]] = []
    for name, version in versions:
        group = next((each for each in groups if name not in each), None)
        if group is None:
            groups.append(group := {})
        group[name] = version
    return groups


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply.audit", description=__doc__)
    parser.add_argument("--lock", action="append", help="a lock file; default: all of them")
    parser.add_argument("--osv-url", help="ask this OSV service only")
    parser.add_argument("--accepted", type=Path, default=ACCEPTED, help="the accepted findings; default: %(default)s")
    options = parser.parse_args(arguments)
    services = [["-s", "osv", "--osv-url", options.osv_url]] if options.osv_url else [["-s", "pypi"], ["-s", "osv"]]
    versions = {(pin.name, pin.version) for lock in options.lock or LOCKS for pin in pins(lock)}
    accepted = tomllib.loads(options.accepted.read_text()).get("accepted", [])
    try:
        answer = audit(versions, services)
    except AuditError as error:
        sys.stderr.write(f"error: pip-audit failed: {error}\n")
        return 2
    today = datetime.datetime.now(datetime.UTC).date()
    wrong = list(complaints(answer.findings, accepted, today, complete=not answer.unknown))
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    if not answer.known:
        sys.stdout.write(
            f"audit: skipped, no advisories could be reached: {len(versions)} packages were not looked up\n"
        )
    else:
        sys.stdout.write(
            f"audit: {len(versions)} packages, {len(answer.findings)} findings, {len(wrong)} not accepted;"
            f" not looked up: {', '.join(sorted(answer.unknown)) or 'none'}\n"
        )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
