"""Strict JSON (RFC 8259): UTF-8, bounded depth, no NaN. Everything else is rejected with a reason.

A number that no float can hold, such as 1e999, becomes a whole number that is out of range everywhere.
"""

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from scorer.sources.rejected import Rejected, kind

MAX_DEPTH: Final = 64

_HALF: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""Half a surrogate pair, where no backslash is escaped by another one."""
_REPLACEMENT: Final = rb"\\ufffd"
"""As a template of `re`, in which a backslash is written twice. Of one without groups, `re` is fast."""
_ESCAPED: Final = rb"\\"
"""A backslash that is escaped by another one."""
_HIDDEN: Final = b"\0\0"
"""What JSON never contains, and as many bytes: so a mistake in the JSON keeps its place."""

_BEYOND: Final = 10**400
"""Instead of a number that is larger than every float. As a float it would be infinity, which JSON cannot write."""
_MOST_DIGITS: Final = 1_000
"""Of a whole number that is computed. Python refuses to read those of more than a few thousand digits."""

_Decoded = TypeVar("_Decoded")

_decode: Final = msgspec.json.Decoder().decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def too_large(size: int, max_bytes: int) -> Rejected:
    """The rejection of a value of `size` bytes."""
    return Rejected("too_large", f"the value has {size} bytes; expected at most {max_bytes}")


def decode_object(value: bytes, max_bytes: int, what: str) -> dict[str, Any]:
    """The JSON object in the value; `what` is its name in a rejection. Raises `Rejected`."""
    decoded = decode_value(value, max_bytes)
    if not isinstance(decoded, dict):
        raise Rejected("not_an_object", f"{what} is {kind(decoded)}; expected an object")
    return decoded


def decode_value(value: bytes, max_bytes: int) -> Any:
    """The JSON value. Raises `Rejected`."""
    if len(value) > max_bytes:
        raise too_large(len(value), max_bytes)
    try:
        decoded = decoded_whole(_decode, value)
    except msgspec.ValidationError:
        decoded = _with_any_numbers(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _reject_json(value, error)
    # Counting brackets is about a hundred times cheaper than a walk, so only values that may be deep are walked.
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _is_deep(decoded):
        _reject_depth()
    return decoded


def decoded_whole(decode: Callable[[bytes], _Decoded], value: bytes) -> _Decoded:
    """What `decode` makes of the JSON, with U+FFFD for each half of a surrogate pair, as decoders of UTF-16 have it.
    Half a pair is no character, but senders cut texts in the middle of one. Raises what `decode` raises."""
    try:
        return decode(value)
    except msgspec.DecodeError:
        return decode(_without_halves(value))


def _without_halves(value: bytes) -> bytes:
    if _HIDDEN[:1] in value:
        return value
    hidden = value.replace(_ESCAPED, _HIDDEN)
    return _HALF.sub(_REPLACEMENT, hidden).replace(_HIDDEN, _ESCAPED)


def _with_any_numbers(value: bytes) -> Any:
    """The JSON value, of which a number is out of range. Only the parser of the standard library lets us say what
    becomes of it. Raises `Rejected`."""
    try:
        text = _without_halves(value).decode()
        return json.loads(text, parse_float=_float, parse_int=_integer, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        _reject_json(value, error)


def _float(written: str) -> float | int:
    number = float(written)
    return number if isfinite(number) else _beyond(written)


def _integer(written: str) -> int:
    return int(written) if len(written) <= _MOST_DIGITS else _beyond(written)


def _beyond(written: str) -> int:
    return -_BEYOND if written.startswith("-") else _BEYOND


def split_list(value: bytes) -> list[bytes]:
    """The items of the JSON list in the value of a batch, each as its own bytes. Of the items only the syntax is
    checked. Raises `Rejected`."""
    try:
        return [bytes(item) for item in decoded_whole(_split, value)]
    except msgspec.ValidationError:
        raise Rejected(
            "not_a_list", "the value does not begin with a list, but the content-type says that it is a batch"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _reject_json(value, error)


def _reject_json(value: bytes, error: Exception) -> NoReturn:
    if isinstance(error, RecursionError):
        _reject_depth()
    try:
        text = value.decode()
    except UnicodeDecodeError as not_utf8:
        raise Rejected("not_utf8", f"the value is not UTF-8 (byte {not_utf8.start}); expected UTF-8") from None
    if text.startswith("\ufeff"):
        raise Rejected("not_json", "the value begins with a byte order mark; JSON does not allow one") from None
    # The standard library accepts more than RFC 8259 allows. Where it succeeds, the error can be named.
    try:
        json.loads(text, parse_constant=_reject_constant)
    except RecursionError:
        _reject_depth()
    except ValueError:
        # The messages of the decoder are constants with the number of a byte; they quote nothing.
        message = str(error).removeprefix("JSON is malformed: ")
        raise Rejected("not_json", f"the value is not JSON: {message}") from None
    raise Rejected("not_json", "the value is not JSON (RFC 8259)") from None


def _reject_constant(_name: str) -> NoReturn:
    raise Rejected("number_out_of_range", "the value contains NaN or an infinity; expected a number or null") from None


def _reject_depth() -> NoReturn:
    raise Rejected(
        "too_deep", f"objects and lists are nested too deeply; expected at most {MAX_DEPTH} levels"
    ) from None


def _is_deep(decoded: object) -> bool:
    level: list[object] = [decoded]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return any(isinstance(item, dict | list) for item in level)
