"""Classes of texts and lists that comparisons tell apart, beside the texts that they name.

For `starts_with`, `ends_with`, `contains` and expressions without special signs the classes are exact: whatever is not
ruled out by two comparisons alone can be written down, as the prefix, the parts and the suffix with a sign between them
that no comparison has. What a real expression matches is not worked out: it is taken to be possible with everything,
and an example is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from scorer.rules.condition import Op, Test, predicate

MAX_CLASSES = 256
_MAX_MEMBERS = 8
_PLAIN = re.compile(r"(\^?)([\w /@,:;#%&=~<>!'-]*)(\$?)")
_TEXT_OPS = (Op.STARTS_WITH, Op.ENDS_WITH, Op.CONTAINS, Op.MATCHES)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a text has that the comparison holds for: a beginning, an end, a part. `exact`: and it holds for all such
    texts."""

    prefix: str | None = None
    suffix: str | None = None
    part: str | None = None
    exact: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for word in (self.prefix, self.suffix, self.part) if word is not None)


def texts(tests: Sequence[Test]) -> list[tuple[list[Test], str | None]] | None:
    """The classes of the texts that no comparison names as a whole: the comparisons that hold, and an example (None:
    none found). None if there are too many classes."""
    asked = [test for test in tests if test.op in _TEXT_OPS]
    others = [test for test in tests if test.op in (Op.NE, Op.NOT_IN) or (test.op is Op.EXISTS and test.operand)]
    shapes = [_shape(test) for test in asked]
    classes: list[tuple[bool, ...]] = [()]
    for i, shape in enumerate(shapes):
        classes = [
            (*signs, sign)
            for signs in classes
            for sign in (False, True)
            if _together(shape, sign, shape, sign)
            and all(_together(shapes[j], signs[j], shape, sign) for j in range(i))
        ]
        if len(classes) > MAX_CLASSES:
            return None
    predicates = [predicate(test) for test in tests]
    named = {str(each) for test in tests for each in _whole(test)}
    pieces = [piece for test in asked for piece in re.split(r"[^\w /-]+", str(test.operand)) if piece]
    mark = _unused("".join((*named, *(str(test.operand) for test in asked))))
    found = []
    for signs in classes:
        holding = [*others, *(test for test, sign in zip(asked, signs, strict=True) if sign)]
        expected = [test in holding for test in tests]
        example = next(
            (
                text
                for text in _examples([s for s, sign in zip(shapes, signs, strict=True) if sign], pieces, mark)
                if text not in named
                and [holds({tests[i].field: text}) for i, holds in enumerate(predicates)] == expected
            ),
            None,
        )
        found.append((holding, example))
    return found


def lists(tests: Sequence[Test]) -> list[tuple[str, ...]] | None:
    """A list for every set of members that the comparisons can tell apart; None if there are too many."""
    members = list(dict.fromkeys(str(test.operand) for test in tests if test.op is Op.CONTAINS))
    if len(members) > _MAX_MEMBERS:
        return None
    return list(chain.from_iterable(combinations(members, size) for size in range(len(members) + 1)))


def _shape(test: Test) -> _Shape:
    text = str(test.operand)
    match test.op:
        case Op.STARTS_WITH:
            return _Shape(prefix=text)
        case Op.ENDS_WITH:
            return _Shape(suffix=text)
        case Op.CONTAINS:
            return _Shape(part=text)
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return _Shape(exact=False)
    begins, word, ends = plain.groups()
    # Not exact: an expression matches no text with a lone surrogate in it.
    return _Shape(word if begins else None, word if ends else None, word, exact=False)


def _together(one: _Shape, holds: bool, other: _Shape, also: bool) -> bool:
    """Can the two comparisons have these answers for one text? True where that is not known."""
    if holds and also:
        return not _exclude(one.prefix, other.prefix) and not _exclude(_back(one.suffix), _back(other.suffix))
    if holds != also:
        yes, no = (one, other) if holds else (other, one)
        return not _implies(yes, no)
    # A text has every empty part.
    return not any(shape.exact and shape.words == ("",) for shape in (one, other))


def _exclude(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and not (one.startswith(other) or other.startswith(one))


def _back(word: str | None) -> str | None:
    return None if word is None else word[::-1]


def _implies(yes: _Shape, no: _Shape) -> bool:
    if not no.exact:
        return False
    if no.words == ("",):
        return True
    if no.prefix is not None:
        return yes.prefix is not None and yes.prefix.startswith(no.prefix)
    if no.suffix is not None:
        return yes.suffix is not None and yes.suffix.endswith(no.suffix)
    return no.part is not None and any(no.part in word for word in yes.words)


def _whole(test: Test) -> tuple[object, ...]:
    if test.op in (Op.EQ, Op.NE, Op.IN, Op.NOT_IN):
        return test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return ()


def _unused(text: str) -> str:
    letters = chain("xyzqwvjk", map(chr, range(0x2460, 0x24FF)), map(chr, range(0xE000, 0xF8FF)))
    return next(letter for letter in letters if letter not in text)


def _examples(shapes: Sequence[_Shape], pieces: Sequence[str], mark: str) -> Iterator[str]:
    prefix = max((shape.prefix or "" for shape in shapes), key=len, default="")
    suffix = max((shape.suffix or "" for shape in shapes), key=len, default="")
    parts = [shape.part for shape in shapes if shape.part and shape.prefix is None and shape.suffix is None]
    yield mark.join((prefix, *parts, suffix))
    yield mark.join(("", *parts, ""))
    yield f"{prefix}{suffix}"
    yield prefix
    # For expressions: what they are made of.
    for piece in pieces:
        yield mark.join((f"{prefix}{piece}", *parts, suffix))
        yield f"{prefix}{piece}{suffix}"
        yield piece
        yield f"{piece}1"
