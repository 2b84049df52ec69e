"""Texts of people made comparable: case, accents, umlauts and punctuation do not count."""

from re import compile as pattern
from typing import Final
from unicodedata import combining, normalize

_MOST: Final = 512
"""Characters that are looked at. One character can stand for eighteen, and no name or title has so many of those."""

_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "&": " and "})
_INITIALS: Final = pattern(r"\b(\w)\.(?=\w\b)")
_APOSTROPHES: Final = pattern(r"['’`´]")
_BETWEEN_WORDS: Final = pattern(r"[\W_]+")


def folded(text: str) -> str:
    """The words of a text in lower case, one space between them: `Côte d'Ivoire` is `cote divoire`, `U.S.A.` is `usa`.

    An umlaut is written as two letters, as German does where it has none: `Österreich` is `oesterreich`.
    """
    return _words(normalize("NFC", text.casefold()).translate(_UMLAUTS))


def without_umlauts(text: str) -> str:
    """Like `folded`, but an umlaut loses its dots, as in English: `Österreich` is `osterreich`."""
    return _words(text.casefold().replace("&", " and "))


def _words(text: str) -> str:
    plain = "".join(letter for letter in normalize("NFKD", text)[:_MOST] if not combining(letter)).casefold()
    return _BETWEEN_WORDS.sub(" ", _INITIALS.sub(r"\1", _APOSTROPHES.sub("", plain))).strip()
