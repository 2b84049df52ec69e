"""A mapping file that extends a delivered one: it says only what is different."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from scorer.domain.printable import printable
from scorer.rules.finding import Finding
from scorer.rules.yaml_source import Document, read
from scorer.sources.source import SourceError

EXTENDS: Final = "extends"
_KINDS: Final = "kinds"

Delivered = Callable[[str], bytes | None]
"""The mapping file of a delivered source; None if there is none of this name."""


def extended(document: Document, delivered: Delivered) -> Document:
    """The document with all that the delivered mapping under `extends` says and it does not. Its own kinds come first,
    so their positions stay; a delivered kind of the same name is left out. Raises `SourceError`."""
    own = document.data
    name = own.get(EXTENDS)
    if not isinstance(name, str):
        return document
    content = delivered(name)
    if content is None:
        position = document.position((EXTENDS,), of_value=True)
        message = f"there is no delivered mapping `{printable(name)}`; `scorer sources list` names them"
        raise SourceError([Finding(position, "bad-value", message)])
    base = extended(read(f"{name}.yaml", content), delivered).data
    return replace(document, data={**base, **own, _KINDS: _joined(own.get(_KINDS, []), base[_KINDS])})


def _joined(own: Any, delivered: list[Any]) -> Any:
    if not isinstance(own, list):
        return own
    names = [kind.get("name") for kind in own if isinstance(kind, dict)]
    return [*own, *(kind for kind in delivered if kind["name"] not in names)]
