"""The tokens that may read lead data, from a file that is read again when it changes."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog

from scorer.runtime.file_state import FileState, state_of

Scope = Literal["all", "rules"]
log = structlog.get_logger()

_BYTES: Final = 1 << 20
_LEAST_TOKEN: Final = 32
_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<token>[A-Za-z0-9._~+/-]+=*)(:(?P<scope>[a-z]+))?")
_EXPECTED: Final = "expected NAME:TOKEN, or NAME:TOKEN:rules for one that may not read leads"


class TokenFileError(Exception):
    """The file cannot be used; the message names it, and the line, but shows no token."""


class Reader(NamedTuple):
    """Who holds a token. With the scope `rules` everything but leads may be read."""

    name: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class _Token:
    digest: bytes
    reader: Reader


class Tokens:
    """The tokens of a file. Several may have the same name, so that a new one is valid before the old one ends.

    A file that is gone or wrong admits nobody, because who takes a token away must be sure that it is gone. Raises
    `TokenFileError` if it is wrong at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: FileState = state_of(path)
        self._tokens = read_tokens(path)

    def reader(self, token: bytes) -> Reader | None:
        """Who holds this token, None if nobody does. The time that it takes says nothing about the tokens."""
        self._look()
        digest, found = hashlib.sha256(token).digest(), None
        for each in self._tokens:
            if hmac.compare_digest(each.digest, digest):
                found = each.reader
        return found

    def _look(self) -> None:
        state = state_of(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._tokens = read_tokens(self._path)
        except TokenFileError as error:
            self._tokens = ()
            log.error("api_tokens_refused", error=str(error), admits="nobody")
        else:
            log.info("api_tokens_loaded", names=sorted({each.reader.name for each in self._tokens}))


def read_tokens(path: Path) -> tuple[_Token, ...]:
    """The tokens of a file, at least one. Empty lines and lines that begin with # count for nothing. Raises
    `TokenFileError`."""
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES + 1)
        text = content.decode("ascii")
    except OSError as error:
        raise TokenFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TokenFileError(f"{path} has a character that is not ASCII; {_EXPECTED}") from None
    if len(content) > _BYTES:
        raise TokenFileError(f"{path} is larger than 1 MiB")
    tokens: dict[bytes, _Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        token = _token(f"{path}:{number}", line.strip())
        if token.digest in tokens:
            raise TokenFileError(f"{path}:{number} repeats the token of an earlier line; each needs its own")
        tokens[token.digest] = token
    if not tokens:
        raise TokenFileError(f"{path} has no token; {_EXPECTED}")
    return tuple(tokens.values())


def _token(place: str, line: str) -> _Token:
    match = _LINE.fullmatch(line)
    if match is None or match["scope"] not in (None, "rules"):
        raise TokenFileError(f"{place} is no token; {_EXPECTED}")
    if len(match["token"]) < _LEAST_TOKEN:
        raise TokenFileError(f"{place} has a token of less than {_LEAST_TOKEN} characters; `openssl rand -hex 32`")
    scope: Scope = "rules" if match["scope"] else "all"
    return _Token(hashlib.sha256(match["token"].encode()).digest(), Reader(match["name"], scope))
