"""Words of a job title, and phrases found among them."""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from re import IGNORECASE
from re import compile as pattern
from typing import Final

from scorer.sources.company.folding import folded

MOST_WORDS: Final = 6
"""Of one phrase. More words only make the search longer."""

_GENDERS: Final = pattern(
    r"\(?\b[mwfdxi](?:\s*[/|*,]\s*[mwfdxi]){1,3}\b\*?\)?|\((?:all genders|alle geschlechter|gn)\)", IGNORECASE
)
"""`(m/w/d)` and its likes."""

_BOTH_FORMS: Final = pattern(r"(?<=\w)[/:*_(·]-?(?:innen|in|frau|mann|r|n)\b\)?", IGNORECASE)
"""The end of `Leiter:in`, `Leiter/-in`, `Leiter(in)`, `Kaufmann/-frau`, `Angestellte/r`."""

_INNER_CAPITAL: Final = pattern(r"(?<=[a-zäöüß])In(?:nen)?\b")
"""The end of `LeiterIn`."""


def words_of(title: str) -> tuple[str, ...]:
    """The words as `folded` makes them, without what says only for whom a position is."""
    for marks in (_GENDERS, _BOTH_FORMS, _INNER_CAPITAL):
        title = marks.sub("", title)
    return tuple(folded(title).split())


class Star(Enum):
    """Where a phrase has a star."""

    NONE = auto()
    BEFORE = auto()
    AFTER = auto()


PhraseKey = tuple[Star, tuple[str, ...]]


def key_of(phrase: str) -> PhraseKey:
    """What makes two phrases the same."""
    star = Star.BEFORE if phrase.startswith("*") else Star.AFTER if phrase.endswith("*") else Star.NONE
    return star, words_of(phrase)


class Phrases:
    """Finds phrases in titles: whole words, the longest phrase first, each word only once.

    A phrase is one word or several. A star at the start or the end of a single word stands for any letters: `*leiter`
    is found in `Vertriebsleiter`. A word is found in its female form too.
    """

    def __init__(self, groups: Iterable[Iterable[str]]) -> None:
        """A phrase that several groups have is that of the first one."""
        self._whole: dict[tuple[str, ...], int] = {}
        self._endings: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        for number, group in enumerate(groups):
            for star, words in map(key_of, group):
                if star is Star.NONE:
                    self._whole.setdefault(words, number)
                else:
                    parts = self._endings if star is Star.BEFORE else self._beginnings
                    parts.setdefault(words[0], number)
        self._words = {word for words in self._whole for word in words}
        self._longest_part = max(map(len, [*self._endings, *self._beginnings]), default=0)
        self._longest: dict[str, int] = {}
        for words in self._whole:
            self._longest[words[0]] = max(len(words), self._longest.get(words[0], 0))

    def first_group(self, title: str) -> int | None:
        """The lowest number of the groups of which a phrase is found; None if there is none."""
        words = [self._basic(word) for word in words_of(title)]
        taken = [False] * len(words)
        first: int | None = None
        for length, _, start, group in sorted(self._found(words), key=lambda found: (-found[0], -found[1], found[2])):
            if not any(taken[start : start + length]):
                taken[start : start + length] = [True] * length
                first = group if first is None else min(first, group)
        return first

    def _found(self, words: Sequence[str]) -> list[tuple[int, int, int, int]]:
        """Number of words, number of letters, place and group of each phrase. A whole word beats a part of it."""
        found = []
        for start, word in enumerate(words):
            for length in range(1, min(self._longest.get(word, 0), len(words) - start) + 1):
                group = self._whole.get(tuple(words[start : start + length]))
                if group is not None:
                    found.append((length, 1 << 10, start, group))
            for size in range(min(len(word), self._longest_part), 0, -1):
                for part, groups in ((word[:size], self._beginnings), (word[-size:], self._endings)):
                    if part in groups:
                        found.append((1, size, start, groups[part]))
        return found

    def _basic(self, word: str) -> str:
        """The male form of a female one, if only that form is known."""
        stem = word.removesuffix("nen").removesuffix("in")
        if word in self._words or stem == word:
            return word
        if stem in self._words or any(stem.endswith(ending) for ending in self._endings):
            return stem
        return word
