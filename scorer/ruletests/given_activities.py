"""The activities of a rule test, as production would receive them. Pure.

Stricter than production: an unknown key is ignored there, but it is a mistake in a test.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from re import fullmatch

from pydantic import BaseModel, ValidationError

from scorer.domain.activity import PAYLOADS, TYPE_PATTERN, TYPE_PREFIX, LeadActivity, validate_data
from scorer.domain.instant import DAY
from scorer.evaluation.allowed_sources import restrictions
from scorer.rules import duration
from scorer.rules.catalogue import Field, suggestion
from scorer.rules.condition import known
from scorer.rules.field_type import number_in_text
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import Path
from scorer.ruletests.model import GivenActivity
from scorer.sources.payload_errors import expected, is_about_key
from scorer.sources.rejected import Rejected

START = 20_454 * DAY + DAY * 9 // 24
"""The start of every test: Thursday 2026-01-01, 09:00 UTC, in microseconds since the epoch."""

Report = Callable[[Path, str, str], None]
"""Takes the path of a mistake in the test, a finding code and a sentence."""


def moment(offset: str) -> int:
    """The instant at this offset from the start of the test, in microseconds since the epoch."""
    return START if offset == "0" else START + duration.parse(offset)


def given_activities(given: Sequence[GivenActivity], ruleset: Ruleset, report: Report) -> Iterator[LeadActivity]:
    """The lead's activities, in order. Mistakes go to `report`, and an activity with a mistake is left out."""
    time = START
    for index, item in enumerate(given):
        path: Path = ("activities", index)
        if item.after is not None:
            time = moment(item.after)
        kind = _kind(item.type, path, ruleset, report)
        data = None if kind is None else _data(kind, item.data, (*path, "data"), ruleset, report)
        if kind is None or data is None:
            continue
        source = item.source or _accepted_source(kind, data, ruleset)
        if source is None:
            message = "no source may send all of this (`allowed_sources`); write the `source` that tries"
            report((*path, "type"), "bad-value", message)
            continue
        for number in range(item.times):
            yield LeadActivity(f"{index}-{number}", source, kind, time, "test", data)


def _accepted_source(kind: str, data: Mapping[str, object], ruleset: Ruleset) -> str | None:
    """A source from which the rules accept an activity with this data, so that tests about other things need none."""
    allowed = [entry for entry in ruleset.allowed_sources if entry.activity == kind]
    listed = (pattern.removesuffix("*") for entry in allowed for pattern in entry.patterns)
    restricted = restrictions(allowed).get(kind, ())
    for source in ("test", *filter(None, listed)):
        activity = LeadActivity("test", source, kind, START, "test", data)
        try:
            for restriction in restricted:
                restriction.check(activity)
        except Rejected:
            continue
        return source
    return None


def _kind(name: str, path: Path, ruleset: Ruleset, report: Report) -> str | None:
    kind = name if name.startswith(TYPE_PREFIX) else TYPE_PREFIX + name
    if kind in PAYLOADS:
        return kind
    built_in = tuple(payload_type.removeprefix(TYPE_PREFIX) for payload_type in PAYLOADS)
    if kind != name:
        hint = suggestion(name, built_in) or f"; write a type of your own in full, as in {kind}"
        report((*path, "type"), "unknown-activity", f"unknown activity type `{name}`{hint}")
        return None
    if fullmatch(TYPE_PATTERN, kind) is None:
        message = (
            f"`{name}` is not an activity type; write it as in lead.my_type, with lower case letters, digits, _ and ."
        )
        report((*path, "type"), "unknown-activity", message)
        return None
    counted = {each.activity for each in (*ruleset.signals.values(), *ruleset.lifecycle.actions.values())}
    close = get_close_matches(kind, {*PAYLOADS, *counted}, n=1, cutoff=0.9)
    if kind not in counted and close:
        message = f"no signal or action counts `{name}`; did you mean {close[0]}?"
        report((*path, "type"), "unknown-activity", message)
        return None
    return kind


def _data(
    kind: str, data: Mapping[str, object], path: Path, ruleset: Ruleset, report: Report
) -> Mapping[str, object] | None:
    try:
        checked = validate_data(kind, data)
    except ValidationError as error:
        _report_payload(error, path, report)
        return None
    if kind in PAYLOADS:
        _check_keys(PAYLOADS[kind].model_validate(data), data, path, report)
    custom = checked.get("custom")
    if isinstance(custom, Mapping):
        _check_custom(custom, (*path, "custom"), ruleset, report)
    return checked


def _report_payload(error: ValidationError, path: Path, report: Report) -> None:
    reported: set[Path] = set()
    for problem in error.errors():
        # A custom field may have one of several types; an error for each type helps nobody.
        custom = problem["loc"][0] == "custom" and len(problem["loc"]) > 1
        where = problem["loc"][:2] if custom else problem["loc"]
        if where in reported:
            continue
        reported.add(where)
        name = ".".join(map(str, ("data", *where)))
        if is_about_key(problem):
            message = f"the name in `{name}` is wrong: {expected(problem)}"
        elif custom:
            message = f"`{name}` must be true, false, a number, a text or a list of texts"
        elif problem["type"] == "missing":
            message = f"`{name}` is missing"
        else:
            message = f"`{name}`: {expected(problem)}"
        report((*path, *where), "wrong-type", message)


def _check_keys(payload: BaseModel, data: Mapping[str, object], path: Path, report: Report) -> None:
    fields = type(payload).model_fields
    for key, value in data.items():
        if key not in fields:
            hint = suggestion(str(key), tuple(fields)) or f"; it is one of {', '.join(fields)}"
            report((*path, key), "unknown-key", f"nothing reads `{'.'.join(map(str, (*path[2:], key)))}`{hint}")
            continue
        part = getattr(payload, key)
        if isinstance(part, BaseModel) and isinstance(value, Mapping):
            _check_keys(part, value, (*path, key), report)


def _as_number(field: Field, value: object) -> object:
    return number_in_text(value) if field.accept_text and isinstance(value, str) else value


def _check_custom(custom: Mapping[str, object], path: Path, ruleset: Ruleset, report: Report) -> None:
    for name, value in custom.items():
        field = ruleset.own_fields.get(name)
        if field is None:
            hint = suggestion(name, tuple(ruleset.own_fields)) or "; declare it under `fields`"
            report((*path, name), "unknown-field", f"unknown field `{name}`{hint}")
        elif value is not None and known(field.type, _as_number(field, value)) is None:
            report((*path, name), "wrong-type", f"`{name}` is of type {field.type}, not {value!r}")
        elif field.choices and value is not None and value not in field.choices:
            hint = suggestion(str(value), field.choices) or f"; it is one of {', '.join(field.choices)}"
            report((*path, name), "impossible-value", f"`{name}` is never `{value}`{hint}")
