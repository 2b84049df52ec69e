"""Constants of the right type that look wrong for their field, according to the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from scorer.lint.atoms import Domain
from scorer.lint.places import country_meant, is_country, is_language, language_meant
from scorer.lint.written import Constant
from scorer.rules.condition import Op

WHOLE = (Op.EQ, Op.NE, Op.IN, Op.NOT_IN)
"""Comparisons of whole values."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def suspicion(constant: Constant, domain: Domain) -> str | None:
    """Why the constant looks wrong, and what was probably meant; None if it looks right."""
    value = constant.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _limits(constant, domain)
    if not isinstance(value, str) or constant.op is Op.MATCHES:
        return None
    if constant.op in WHOLE and value != value.strip():
        return f"`{constant.field}` is compared with text that starts or ends with whitespace{_meant(value.strip())}"
    match constant.field:
        case "profile.country" if constant.op in WHOLE and not is_country(value):
            return f"`{value}` is not a country code (ISO 3166-1 alpha-2){_meant(country_meant(value))}"
        case "profile.language" if constant.op in WHOLE:
            return _language(value)
        case "profile.email_domain":
            return _mail_domain(value, constant.op)
        case "path" if constant.op in (*WHOLE, Op.STARTS_WITH):
            return _path(value)
    return None


def differing_case(constants: Iterable[Constant]) -> Iterator[tuple[Constant, Constant]]:
    """Pairs (later, first) of texts of one field that differ only in upper and lower case."""
    first: dict[tuple[str, str], Constant] = {}
    for constant in constants:
        if isinstance(constant.value, str) and constant.op in (*WHOLE, Op.CONTAINS):
            known = first.setdefault((constant.field, constant.value.casefold()), constant)
            if known.value != constant.value:
                yield constant, known


def _limits(constant: Constant, domain: Domain) -> str | None:
    value = constant.value
    assert isinstance(value, (int, float))
    if domain.low <= value <= domain.high:
        return None
    if domain.high == 1 and 1 < value <= 100:
        return f"`{constant.field}` is between 0 and 1, never {value}{_meant(f'{value / 100:g}')}"
    limit = f"below {_plain(domain.low)}" if value < domain.low else f"above {_plain(domain.high)}"
    return f"`{constant.field}` is never {limit}, but is compared with {value} here"


def _plain(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


def _language(value: str) -> str | None:
    primary = value.partition("-")[0]
    if _LANGUAGE.fullmatch(value) and (len(primary) == 3 or is_language(primary)):
        return None
    return f"`{value}` is not a language tag (BCP 47, such as de or de-AT){_meant(language_meant(value))}"


def _mail_domain(value: str, op: Op) -> str | None:
    after = value.rpartition("@")[2].strip()
    if "@" in value or value != value.lower() or any(sign in value for sign in " /"):
        message = f"`profile.email_domain` is the part after the @, in lower case; it is never `{value}`"
        return f"{message}{_meant(after.lower().removesuffix('/').rpartition('/')[2])}"
    if op in WHOLE and value.startswith("."):
        return f"`profile.email_domain` never starts with a dot{_meant(value.lstrip('.'))}"
    return None


def _path(value: str) -> str | None:
    if "://" in value:
        rest = value.partition("://")[2].partition("/")[2]
        return f"`path` holds no host, so it is never `{value}`{_meant(f'/{rest}')}"
    if "?" in value or "#" in value:
        return f"`path` holds no query, so it is never `{value}`; compare `url`, or leave out the query"
    if not value.startswith("/"):
        return f"`path` starts with /, so it is never `{value}`{_meant(f'/{value}')}"
    return None


def _meant(text: str | None) -> str:
    return f"; did you mean {text}?" if text else ""
