"""How the id of an event is made: unlike that of any other event of its source."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from scorer.sources.attributes import LENGTHS
from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import getter
from scorer.sources.mapping.language import KindSection, MappingFile
from scorer.sources.mapping.recipes import Event, Recipe, is_clean
from scorer.sources.rejected import Rejected

_LONGEST: Final = LENGTHS["id"] - 8
"""Leaves room for the suffix of a further activity of an event."""
_DIGEST: Final = "sha256:"
_AMBIGUOUS: Final = re.compile(rf"^{_DIGEST}|:([0-9]|1[0-5])$")
"""The last part of an id that looks like a digest, or like the id of a further activity of an event."""
_SUFFIX: Final = re.compile("[0-9]|1[0-5]")
"""What is at the end of the id of a further activity of an event, after a colon."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known of the ids of a kind. `fixed`: the texts that a part can be, by its place, where the conditions of
    the kind say so. `is_suffixed`: its events can have further activities."""

    paths: Sequence[str]
    fixed: Mapping[int, frozenset[str]]
    is_suffixed: bool

    @property
    def length(self) -> int:
        """The number of parts."""
        return len(self.paths)

    def differs_from(self, other: "_Form") -> bool:
        """Whether a part before the last is never the same in both."""
        before_last = range(min(self.length, other.length) - 1)
        fixed = (place for place in before_last if place in self.fixed and place in other.fixed)
        return any(self.fixed[place].isdisjoint(other.fixed[place]) for place in fixed)


def id_recipes(file: MappingFile) -> Mapping[str, Recipe]:
    """The recipe of each kind, by its name.

    An id is all parts, with colons between them; their SHA-256 if that is too long for an id, has a control character,
    or is also what other parts or a further activity of another event could give.
    """
    sections = [*file.kinds, *filter(None, [file.otherwise])]
    forms = {section.name: _form(section, section.id or file.id) for section in sections}
    made = [forms[section.name] for section in sections if section.type is not None]
    return {
        name: _recipe(form, [other for other in made if not form.differs_from(other)]) for name, form in forms.items()
    }


def _form(section: KindSection, paths: Sequence[str]) -> _Form:
    fixed = {
        place: frozenset(filter(None, map(text, section.when[path])))
        for place, path in enumerate(paths)
        if path in section.when
    }
    return _Form(paths, fixed, bool(section.also) or section.each is not None)


def _recipe(form: _Form, others: Sequence[_Form]) -> Recipe:
    parts = [(path, getter(path)) for path in form.paths]
    # With so many colons in its last part, the id could be one of more parts.
    most_colons = min((other.length for other in others if other.length > form.length), default=_LONGEST) - form.length
    is_like_suffixed = any(other.is_suffixed and other.length < form.length for other in others)

    def is_ambiguous(texts: Sequence[str]) -> bool:
        last = texts[-1]
        return (
            _AMBIGUOUS.search(last) is not None
            or last.count(":") >= most_colons
            or any(":" in part for part in texts[:-1])
            or f"{texts[0]}:" == _DIGEST
            or (is_like_suffixed and _SUFFIX.fullmatch(last) is not None)
        )

    def identity(event: Event) -> str:
        texts = []
        for path, get in parts:
            try:
                found = text(get(event))
            except Unfit:
                raise Rejected(
                    "missing_attribute", f"the event has no id: there is no value that can be read at {path}"
                ) from None
            if found is None:
                raise Rejected("missing_attribute", f"the event has no id: there is no text or number at {path}")
            texts.append(found)
        joined = ":".join(texts)
        if is_ambiguous(texts) or len(joined) > _LONGEST or not is_clean(joined):
            return f"{_DIGEST}{sha256(msgspec.json.encode(texts)).hexdigest()}"
        return joined

    return identity
