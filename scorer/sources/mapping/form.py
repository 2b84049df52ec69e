"""Forms (application/x-www-form-urlencoded) with keys in brackets, as PHP writes and reads them."""

import re
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qsl

from scorer.sources.rejected import Rejected

MAX_FIELDS: Final = 2_000
_KEY: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){0,16})")
_STEP: Final = re.compile(r"\[([^\[\]]*)\]")


def decode_form(text: str) -> dict[str, Any]:
    """The fields of a form: `data[email]=a` is {"data": {"email": "a"}}, and `tag[]=a&tag[]=b` is {"tag": ["a", "b"]}.

    A key that is not of this form is taken as it is. Of two fields that exclude each other, the later one counts.
    Raises `Rejected`.
    """
    try:
        fields = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Rejected("too_large", f"the form has more than {MAX_FIELDS:,} fields; expected at most so many") from None
    root: dict[str, Any] = {}
    for key, value in fields:
        match = _KEY.fullmatch(key)
        steps = [key] if match is None else [match[1], *_STEP.findall(match[2])]
        _put(root, steps, value)
    return root


def _put(root: dict[str, Any], steps: list[str], value: str) -> None:
    here: Any = root
    for step, following in pairwise(steps):
        kind = list if following == "" else dict
        inner = None if isinstance(here, list) else here.get(step)
        if not isinstance(inner, kind):
            inner = kind()
            _set(here, step, inner)
        here = inner
    _set(here, steps[-1], value)


def _set(holder: Any, step: str, value: Any) -> None:
    if isinstance(holder, list):
        holder.append(value)
    else:
        holder[step] = value
