"""The activities of an event: of its kind, and the further ones beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scorer.sources.attributes import LENGTHS
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.mapping.conditions import Condition, holds
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import getter
from scorer.sources.mapping.language import ActivitySection, KindSection, TypeSection
from scorer.sources.mapping.names import as_name
from scorer.sources.mapping.payload import Maker, data_maker
from scorer.sources.mapping.recipes import Recipe, lead_recipe
from scorer.sources.source import Activity, Dropped

Event = Mapping[str, Any]
_MERGED: Final = "lead.merged"


class _CloudEvent(msgspec.Struct):
    id: str
    source: str
    type: str
    time: str
    subject: str
    data: Any
    specversion: str = "1.0"


_encode: Final = msgspec.json.Encoder().encode


class UnnamedError(Exception):
    """An event names no activity type."""


class SameLeadError(Exception):
    """An event merges a lead into itself."""


@dataclass(frozen=True, slots=True)
class Template:
    """How an activity is made. `lead`: None for the lead of the event. `condition`: None if there is none."""

    type_of: str | Callable[[Event], str]
    data_of: Maker
    lead: Recipe | None
    held: bool
    condition: Condition | None

    def activity(
        self, source: str, event: Event, identity: str, time: str, lead_id: str, dropped: list[Dropped]
    ) -> Activity:
        """The activity. Raises `Rejected`, `UnnamedError` and `SameLeadError`."""
        kind = self.type_of if isinstance(self.type_of, str) else self.type_of(event)
        data = self.data_of(event, dropped)
        if kind == _MERGED and data["into"] == lead_id:
            raise SameLeadError
        return Activity(lead_id, kind, _encode(_CloudEvent(identity, source, kind, time, lead_id, data)))


def template(section: ActivitySection | KindSection, converters: Mapping[str, Converter]) -> Template:
    """The template of a section with a type."""
    type_of = _named(section.type) if isinstance(section.type, TypeSection) else section.type or ""
    return Template(
        type_of,
        data_maker(type_of if isinstance(type_of, str) else None, section.data, converters),
        None if section.lead is None else lead_recipe(section.lead, converters),
        section.held,
        holds(section) if isinstance(section, ActivitySection) else None,
    )


def _named(section: TypeSection) -> Callable[[Event], str]:
    """The custom type of an event: its text in lower case, with `_` for everything but letters and digits."""
    get, prefix = getter(section.path), section.prefix

    def named(event: Event) -> str:
        try:
            written = text(get(event))
        except Unfit:
            written = None
        if written is None:
            raise UnnamedError
        name = as_name(written)
        if not name:
            raise UnnamedError
        return (prefix + name)[: LENGTHS["type"]]

    return named
