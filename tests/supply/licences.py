"""The licences of all packages in the locks, as docs/licences.md lists them: `make licences` writes the page.

A licence comes from the metadata of the installed package. A package that is not installed here keeps its row.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from typing import Any, Final

from license_expression import ExpressionError, get_spdx_licensing

from tests.supply.locks import LOCKS, ROOT, SUPPLY, normalised, pins

PAGE: Final = ROOT / "docs" / "licences.md"
USES: Final = ("runtime", "build", "development", "benchmarks", "benchmarks")
"""What each of `LOCKS` is for."""

MEANINGS: Final = {
    "runtime": "the service and its image",
    "build": "what builds the image and stays out of it",
    "development": "tests, tools, and the extras `demo` and `parquet`",
    "benchmarks": "products that are measured beside ours",
}

_ROW: Final = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| (\w+) \|$", re.MULTILINE)
_TEXTS: Final = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "psfl": "PSF-2.0",
}
"""What older metadata say in words of their own, in lower case."""
_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Those that mean one licence. "BSD License" does not."""
_BENCHMARKS: Final = ROOT / ".cache" / "bench-streams"
_SPDX: Final = get_spdx_licensing()


def policy() -> dict[str, Any]:
    """What tests/supply/licences.toml says."""
    return tomllib.loads((SUPPLY / "licences.toml").read_text())


def uses() -> dict[str, str]:
    """Each package of the locks -> the first use that it has."""
    found: dict[str, str] = {}
    for lock, use in zip(LOCKS, USES, strict=True):
        for pin in pins(lock):
            found.setdefault(pin.name, use)
    return dict(sorted(found.items()))


def installed() -> dict[str, str | None]:
    """Each installed package -> the SPDX expression of its metadata, or None if they name none."""
    folders = [*sys.path, *map(str, _BENCHMARKS.glob("lib/python*/site-packages"))]
    return {normalised(each.name): declared(each) for each in reversed(list(distributions(path=folders)))}


def declared(package: Distribution) -> str | None:
    """The SPDX expression that the metadata of a package name; None if that is not one for certain."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    text = metadata["License"].strip() if "License" in metadata else ""
    text = _TEXTS.get(text.lower(), text)
    if "\n" not in text and is_known(text):
        return text
    names = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if line.startswith("License")]
    known = {_CLASSIFIERS.get(name) for name in names}
    return known.pop() if len(known) == 1 else None


def is_known(expression: str) -> bool:
    """Whether this is an expression of licences that SPDX has."""
    try:
        return bool(expression) and not _SPDX.validate(expression).errors
    except ExpressionError:
        return False


def listed(page: str) -> dict[str, tuple[str, str]]:
    """Package -> licence and use, as the page says."""
    return {name: (licence, use) for name, licence, use in _ROW.findall(page)}


def licences(page: str) -> dict[str, str]:
    """All packages of the locks -> licence: read by a person, else of its metadata, else as the page says, else ''."""
    read, now, before = policy()["read"], installed(), listed(page)
    return {name: read.get(name) or now.get(name) or before.get(name, ("",))[0] for name in uses()}


def faults(found: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with these licences of all packages in the locks, one sentence each."""
    rules, use_of = policy(), uses()
    for name, licence in found.items():
        exception = rules["exceptions"].get(name)
        if not licence:
            yield f"{name}: its metadata name no licence; read its licence file, and add it to [read]"
        elif exception:
            if exception["licence"] != licence:
                yield f"{name}: its licence is {licence}; the exception is for {exception['licence']}"
            elif USES.index(use_of[name]) < USES.index(exception["use"]):
                yield f"{name}: {licence} is excepted for {exception['use']}, and it is used for {use_of[name]}"
        elif not is_known(licence) or not is_allowed(licence, rules["allowed"]):
            yield f"{name}: {licence} is not among the allowed licences"
    for table in ("exceptions", "read"):
        yield from (f"{name}: is in [{table}] and in no lock" for name in rules[table] if name not in found)


def is_allowed(expression: str, allowed: list[str]) -> bool:
    """Whether one may keep to the expression with these licences alone: one side of each OR, both of each AND."""

    def holds(node: Any) -> bool:
        if hasattr(node, "key"):
            return node.key in allowed
        together = all if type(node).__name__ == "AND" else any
        return together(holds(each) for each in node.args)

    return holds(_SPDX.parse(expression))


def text(found: Mapping[str, str]) -> str:
    """The page."""
    rules, use_of = policy(), uses()
    exceptions = "\n".join(
        f"| `{name}` | {each['licence']} | {each['use']} | {each['because']} |"
        for name, each in sorted(rules["exceptions"].items())
    )
    rows = "\n".join(f"| `{name}` | {licence} | {use_of[name]} |" for name, licence in found.items())
    counts = "| Use | Packages |\n|---|---|\n" + "\n".join(
        f"| {use}: {meaning} | {list(use_of.values()).count(use)} |" for use, meaning in MEANINGS.items()
    )
    return f"""# Licences of the dependencies

These are all packages of the locks. `make licences` writes this page from the metadata of the installed packages. A
test fails if a package of a lock is missing here, if the installed one says another licence, or if its licence is
neither allowed nor excepted with a reason. The rules are in `tests/supply/licences.toml`.

{counts}

Allowed are: {", ".join(rules["allowed"])}.
With `OR` one of them is enough; with `AND` all must be allowed.

Packages with compiled parts (such as `pydantic-core`, `cramjam` and `google-re2`) contain other libraries. Their
metadata name the licence of the package; nobody has looked at each library in them. The base image and its packages are
not in the list either.

## Exceptions

| Package | Licence | May be used for | Why |
|---|---|---|---|
{exceptions}

## All packages

The use is the first one that applies.

| Package | Licence | Use |
|---|---|---|
{rows}
"""


if __name__ == "__main__":
    known = licences(PAGE.read_text() if PAGE.exists() else "")
    PAGE.write_text(text(known))
    for fault in faults(known):
        sys.stderr.write(f"error: {fault}\n")
    sys.exit(any(True for _ in faults(known)))
