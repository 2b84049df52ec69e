"""Classes of texts and lists that comparisons tell apart, besides the texts that they name.

The classes are exact for `starts_with`, `ends_with`, `contains` and expressions without special characters: if no two
comparisons exclude each other, an example is the prefix, the parts and the suffix, separated by a character that no
comparison uses. Real expressions are not analysed: they are assumed compatible with everything, and an example is
searched for.
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
    """The prefix, suffix or part of the texts for which a comparison holds. `exact`: it holds for every such text."""

    prefix: str | None = None
    suffix: str | None = None
    part: str | None = None
    exact: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for word in (self.prefix, self.suffix, self.part) if word is not None)


def texts(tests: Sequence[Test]) -> list[tuple[list[Test], str | None]] | None:
    """The classes of texts that no comparison names in full, each as the comparisons that hold and an example (None if
    none was found). None if there are too many classes."""
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
    named = {str(text) for test in tests for text in _whole(test)}
    pieces = [piece for test in asked for piece in re.split(r"[^\w /-]+", str(test.operand)) if piece]
    mark = _unused("".join((*named, *(str(test.operand) for test in asked))))
    described = []
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
        described.append((holding, example))
    return described


def lists(tests: Sequence[Test]) -> list[tuple[str, ...]] | None:
    """One list for every set of members that the comparisons can tell apart; None if there are too many."""
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
    # Not exact: an expression never matches a text that holds a lone surrogate.
    return _Shape(word if begins else None, word if ends else None, word, exact=False)


def _together(one: _Shape, holds: bool, other: _Shape, also: bool) -> bool:
    """Whether one text can give the two comparisons these answers. True if unknown."""
    if holds and also:
        return not _exclude(one.prefix, other.prefix) and not _exclude(_back(one.suffix), _back(other.suffix))
    if holds != also:
        yes, no = (one, other) if holds else (other, one)
        return not _implies(yes, no)
    # Every text has an empty prefix, suffix and part.
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
    # Expressions often match the pieces that they are made of.
    for piece in pieces:
        yield mark.join((f"{prefix}{piece}", *parts, suffix))
        yield f"{prefix}{piece}{suffix}"
        yield piece
        yield f"{piece}1"
