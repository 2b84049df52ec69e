"""What a certificate says of itself: its subject, as Kafka names the user, and until when it is valid.

The standard library reads this from the certificate of the other side only, and only after it has accepted it. Only
messages for people use it, so a library of 16 MB is not worth it (docs/adr/0019).
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_OBJECT_ID: Final = 0x06
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_FIRST_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NAMES: Final = {
    "550403": "CN",
    "550406": "C",
    "550407": "L",
    "550408": "ST",
    "550409": "STREET",
    "55040a": "O",
    "55040b": "OU",
    "0992268993f22c640119": "DC",
    "0992268993f22c640101": "UID",
}
"""The attributes that RFC 2253 names, by their object identifiers."""


class Certificate(NamedTuple):
    """`subject`: as in RFC 2253, which is how Kafka calls the user; None if it has attributes without a name there."""

    subject: str | None
    begins: datetime
    ends: datetime


def certificate_in(path: Path) -> Certificate | None:
    """The first certificate of a PEM file; None if there is none that can be read."""
    try:
        found = _FIRST_PEM.search(path.read_text("latin-1"))
        return None if found is None else _parse(ssl.PEM_cert_to_DER_cert(found[0]))
    except (OSError, ValueError, IndexError):
        return None


def _parse(der: bytes) -> Certificate:
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    fields = [field for field in _parts(signed) if field[0] != _VERSION]
    _, _, _, (_, validity), (_, subject), *_ = fields
    begins, ends = (_time(kind, text.decode("ascii")) for kind, text in _parts(validity))
    return Certificate(_subject(subject), begins, ends)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values in a DER sequence, each with its tag. Raises `IndexError` or `ValueError` if it is none."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("the data end within a value")
        yield tag, data[at : at + length]
        at += length


def _time(kind: int, text: str) -> datetime:
    if kind == _UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _subject(data: bytes) -> str | None:
    levels = []
    for _, level in _parts(data):
        attributes = []
        for _, attribute in _parts(level):
            (_, identifier), (_, value) = _parts(attribute)
            name = _NAMES.get(identifier.hex())
            if name is None:
                return None
            attributes.append(f"{name}={_escaped(value.decode('utf-8'))}")
        levels.append("+".join(attributes))
    return ",".join(reversed(levels))


def _escaped(text: str) -> str:
    escaped = re.sub(r'([,+"\\<>;])', r"\\\1", text)
    if escaped.startswith(("#", " ")):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if len(escaped) > 1 and escaped.endswith(" ") else escaped
