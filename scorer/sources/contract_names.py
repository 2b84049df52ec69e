"""The names that our contract gives to attributes and keys. Only these may be repeated in a rejection."""

from collections.abc import Iterator
from typing import Final, get_args

from pydantic import BaseModel

from scorer.domain.activity import PAYLOADS, Envelope


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for branch in (field.annotation, *get_args(field.annotation)):
            if isinstance(branch, type) and issubclass(branch, BaseModel):
                yield from _names(branch)


_MODELS: Final[tuple[type[BaseModel], ...]] = (Envelope, *PAYLOADS.values())
CONTRACT_NAMES: Final = frozenset(name for model in _MODELS for name in _names(model)) | {
    *("datacontenttype", "dataschema", "data", "data_base64")
}
"""CloudEvents attributes, and the keys of all built-in payloads at every level."""
