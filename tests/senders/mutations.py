"""Random changes of a sample: of its values, its keys, its shape, and its bytes."""

import json
from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

from tests.senders.dirty import BAD
from tests.senders.samples import Sample

JUNK: Final[Sequence[Any]] = (
    *BAD, None, False, [], {}, "", " ", 0, -0.0, float("inf"), float("nan"), 2**70, -(2**63) - 1, 10**300,
    "9" * 400, "x" * 100_000, "\uffff", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30 25:61:61", [[]],
    [{}] * 500, {"": ""}, {str(number): number for number in range(500)}, "{" * 500, '{"a":' * 50 + "1" + "}" * 50,
    "[1,2", "%5B%5D=%ZZ",
)  # fmt: skip
_MOST_CHANGES: Final = 4
_BYTES: Final = (b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\t", b"\n", b'"', b"[", b"{", b"&", b"=", b"%", b",")


def mutated(sample: Sample, others: Sequence[Sample], random: Random) -> bytes:
    """The record after one to four changes. `others`: where it can borrow from."""
    value = sample.value
    if sample.path.suffix == ".json" and random.random() < 0.8:
        document = json.loads(value)
        for _ in range(random.randint(1, _MOST_CHANGES)):
            document = _changed(document, random, others)
        value = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.3:
        for _ in range(random.randint(1, _MOST_CHANGES)):
            value = _changed_bytes(value, random)
    return value


def _changed(document: Any, random: Random, others: Sequence[Sample]) -> Any:
    """The document with one change, at a random place. It may become another one."""
    if random.random() < 0.03:
        return _junk(random)
    if random.random() < 0.05:
        return [document] * random.choice((1, 2, 50))
    node, key = _place(document, random)
    if node is None:
        return _junk(random)
    match random.randrange(7):
        case 0:
            del node[key]
        case 1:
            node[key] = _borrowed(random, others)
        case 2:
            node[key] = str(node[key])
        case 3:
            node[key] = [node[key]] * random.choice((1, 3, 300))
        case 4 if isinstance(node, dict):
            node[random.choice((f"{key}s", "", "type", "event", "id", "\ud800", str(key).upper()))] = node.pop(key)
        case 5:
            for _ in range(random.choice((2, 40))):
                node[key] = {str(key): node[key]}
        case _:
            node[key] = _junk(random)
    return document


def _junk(random: Random) -> Any:
    return deepcopy(random.choice(JUNK))


def _place(document: Any, random: Random) -> tuple[Any, Any]:
    """An object or list inside of the document, and one of its keys; (None, None) if there is none."""
    node: Any = None
    key: Any = None
    inner = document
    while isinstance(inner, dict | list) and inner:
        node, key = inner, random.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner = node[key]
        if random.random() < 0.3:
            break
    return node, key


def _borrowed(random: Random, others: Sequence[Sample]) -> Any:
    other = random.choice(others)
    return json.loads(other.value) if other.path.suffix == ".json" else other.value.decode(errors="replace")


def _changed_bytes(value: bytes, random: Random) -> bytes:
    start = random.randrange(len(value) + 1)
    end = min(len(value), start + random.choice((0, 0, 1, 2, 30)))
    match random.randrange(4):
        case 0:
            return value[:start]
        case 1:
            return value[:start] + value[start:end] * 20 + value[end:]
        case _:
            return value[:start] + random.choice(_BYTES) + value[end:]
