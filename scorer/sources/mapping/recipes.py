"""How the lead of an event is found."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scorer.sources.attributes import CONTROL, LENGTHS
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.mapping.expression import getter
from scorer.sources.mapping.language import LeadPath
from scorer.sources.rejected import Rejected, described

Event = Mapping[str, Any]
Recipe = Callable[[Event], str]
"""A text of an event. Raises `Rejected` if the event has none."""


def lead_recipe(paths: Sequence[LeadPath], converters: Mapping[str, Converter]) -> Recipe:
    """The first path that has a value names the lead."""
    steps = [(getter(path.path), converters[path.as_], path.prefix) for path in paths]
    names = ", ".join(path.path for path in paths)

    def lead(event: Event) -> str:
        unreadable = False
        for get, convert, prefix in steps:
            try:
                found = convert(get(event))
            except Unfit:
                unreadable = True
                continue
            if found is not None:
                return _checked(f"{prefix}{found}")
        problem = "no value that can be read" if unreadable else "no value"
        raise Rejected("missing_attribute", f"the lead is not named: there is {problem} at {names}")

    return lead


def _checked(lead_id: str) -> str:
    most = LENGTHS["subject"]
    if len(lead_id) > most:
        raise Rejected(
            "invalid_attribute", f"the id of the lead has {len(lead_id)} characters; expected at most {most}"
        )
    if not is_clean(lead_id):
        raise Rejected(
            "invalid_attribute",
            f"the id of the lead ({described(lead_id)}) contains a control character; expected none",
        )
    return lead_id


def is_clean(written: str) -> bool:
    """Whether the text has no control character, as no attribute may have one."""
    return (written.isascii() and written.isprintable()) or CONTROL.search(written) is None
