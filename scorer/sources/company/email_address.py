"""An email address in one form, its domain, and what kind of address it is."""

from functools import lru_cache
from typing import Final

from scorer.domain.activity import EmailKind
from scorer.sources.company.converter import Unfit, text_of
from scorer.sources.company.domain import host, is_academic, is_disposable, is_free, registrable

_LONGEST: Final = 254
"""Of an address, RFC 5321 (4.5.3.1.3, without the angle brackets)."""

_LONGEST_LOCAL_PART: Final = 64
_LONGEST_WEBSITE: Final = 2048
_SPECIAL: Final = frozenset(' "(),:;<>@[\\]')
"""They stand only in quoted local parts, which mail providers do not give out (RFC 5322, 3.2.3)."""


def email(value: object) -> str | None:
    """The address in lower case, its domain in ASCII (IDNA 2008); None if there is no value.

    Raises `Unfit` if it is not one address: a list of them, or one with a display name.
    """
    parts = _parts(value)
    return None if parts is None else "@".join(parts)


def email_domain(value: object) -> str | None:
    """The part after the @, in lower case and in ASCII. Takes and refuses what `email` does."""
    parts = _parts(value)
    return None if parts is None else parts[1]


def email_kind(value: object) -> EmailKind | None:
    """The kind of an address, a choice of `profile.email_kind`. Takes and refuses what `email` does, and refuses a
    domain under a top-level domain that does not exist: `gmail.con` is a slip, and no business.

    A provider of throw-away addresses is `disposable` also where a list of free providers has it.
    """
    parts = _parts(value)
    return None if parts is None else _kind(parts[1])


def company_key(value: object) -> str | None:
    """The registrable domain of a company, from an email address, a host name or the address of its website.

    `mail.example.co.uk` is `example.co.uk`. None if there is no value, or if the domain is not that of a company: a
    free, disposable or university address, or a public suffix alone. Raises `Unfit` if it cannot be read, or if its
    top-level domain does not exist.
    """
    text = text_of(value, _LONGEST_WEBSITE)
    if text is None:
        return None
    is_address = "@" in text.partition("/")[0]
    domain = _parts_of(text)[1] if is_address else host(_without_scheme(text))
    return registrable(domain) if _kind(domain) == "business" else None


def _without_scheme(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        raise Unfit("malformed")
    place = (rest if separator else scheme).partition("/")[0].partition("?")[0].partition("#")[0]
    name, separator, port = place.partition(":")
    if separator and not (port.isascii() and port.isdigit()):
        raise Unfit("malformed")
    return name


@lru_cache(4096)
def _kind(domain: str) -> EmailKind:
    if is_disposable(domain):
        return "disposable"
    if is_free(domain):
        return "free"
    return "university" if is_academic(domain) else "business"


def _parts(value: object) -> tuple[str, str] | None:
    text = text_of(value, _LONGEST)
    return None if text is None else _parts_of(text)


def _parts_of(text: str) -> tuple[str, str]:
    local, at, domain = text.lower().rpartition("@")
    if not at or not local or not local.isprintable() or not _SPECIAL.isdisjoint(local):
        raise Unfit("malformed")
    domain = host(domain)
    if len(local) > _LONGEST_LOCAL_PART or len(local) + len(domain) >= _LONGEST:
        raise Unfit("too_long")
    return local, domain
