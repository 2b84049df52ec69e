"""A mapping as a source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from scorer.rules.finding import Finding
from scorer.sources.attributes import MAX_AHEAD
from scorer.sources.cloudevents import Header
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.framing import Framing
from scorer.sources.mapping.activities import SameLeadError, Template, UnnamedError, template
from scorer.sources.mapping.conditions import Choice
from scorer.sources.mapping.expression import Getter, getter
from scorer.sources.mapping.ids import id_recipes
from scorer.sources.mapping.language import KindSection, MappingFile
from scorer.sources.mapping.recipes import Recipe, lead_recipe
from scorer.sources.mapping.records import Records
from scorer.sources.mapping.times import TimeRecipe, time_recipe
from scorer.sources.rejected import Rejected, kind
from scorer.sources.source import Activity, Dropped, Outcome

NO_KIND: Final = "no_kind"
NO_EVENTS: Final = "no_events"
SAME_LEAD: Final = "same_lead"
NO_NAME: Final = "no_name"
NO_ITEMS: Final = "no_items"
ITEM: Final = "item"
MOST_ITEMS: Final = 16
"""Of the list of an event that `each` names."""


class _Limits(NamedTuple):
    """What an activity must stay within. `latest`: its time, in microseconds since the epoch; `max_bytes`: its size."""

    latest: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of event, compiled. `ignored`: why nothing comes of it; None if it has templates. `each`: the list whose
    items become an activity each; None for one of the event."""

    name: str
    each: Getter | None
    ignored: str | None
    identity: Recipe
    time: TimeRecipe
    lead: Recipe
    main: Template | None
    also: Sequence[Template]


class MappingSource:
    """Translates records by a mapping file. `file`: for those who tell people about it. `warnings`: what in it is
    probably not what its author meant."""

    def __init__(
        self, name: str, file: MappingFile, converters: Mapping[str, Converter], warnings: Sequence[Finding]
    ) -> None:
        self.name = name
        self.file = file
        self.description = file.description
        self.warnings = warnings
        self._records = Records(file)
        self._format, self._has_columns = file.format, bool(file.columns)
        lead, time = lead_recipe(file.lead, converters), time_recipe(file.time)
        identities = id_recipes(file)

        def compiled(section: KindSection) -> _Kind:
            return _Kind(
                section.name,
                None if section.each is None else getter(section.each),
                section.ignore,
                identities[section.name],
                time if section.time is None else time_recipe(section.time),
                lead if section.lead is None else lead_recipe(section.lead, converters),
                None if section.type is None else template(section, converters),
                [template(further, converters) for further in section.also],
            )

        self._kinds = Choice([(section, compiled(section)) for section in file.kinds])
        self._otherwise = None if file.otherwise is None else compiled(file.otherwise)

    def framing(self) -> Framing:
        """How the records are written in one file."""
        is_table = self._format in ("csv", "tsv", "tsv_or_json")
        return Framing(table=is_table, header=is_table and not self._has_columns, quotes=self._format == "csv")

    def outcomes(self, value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> Sequence[Outcome]:
        """What comes of each event of a record. Raises `Rejected`."""
        if not value:
            raise Rejected("empty_value", f"the record has {'an empty' if value == b'' else 'no'} value")
        events, is_list, dropped = self._records.events(value, max_bytes)
        if not events:
            return [Outcome(None, "", ignored=NO_EVENTS, dropped=dropped)]
        limits = _Limits(now + MAX_AHEAD, max_bytes)
        return [
            self._outcome(event, index if is_list else None, limits, dropped if index == 0 else ())
            for index, event in enumerate(events)
        ]

    def _outcome(self, event: Any, index: int | None, limits: _Limits, before: Sequence[Dropped]) -> Outcome:
        if type(event) is not dict:
            problem = Rejected("not_an_object", f"the event is {kind(event)}; expected an object")
            return Outcome(index, "", rejected=problem)
        found = self._kinds.of(event) or self._otherwise
        if found is None:
            return Outcome(index, "", ignored=NO_KIND, dropped=before)
        if found.main is None:
            return Outcome(index, found.name, ignored=found.ignored, dropped=before)
        dropped = [*before]
        if found.each is not None:
            return self._of_each(found, found.main, found.each, event, index, limits, dropped)
        try:
            return self._activities(found, found.main, event, index, limits, dropped)
        except Rejected as rejected:
            return Outcome(index, found.name, rejected=rejected, dropped=dropped)
        except SameLeadError:
            return Outcome(index, found.name, ignored=SAME_LEAD, dropped=dropped)
        except UnnamedError:
            return Outcome(index, found.name, ignored=NO_NAME, dropped=dropped)

    def _activities(
        self, found: _Kind, main: Template, event: Any, index: int | None, limits: _Limits, dropped: list[Dropped]
    ) -> Outcome:
        lead_id, identity, time = found.lead(event), found.identity(event), found.time(event, limits.latest)
        activity = main.activity(self.name, event, identity, time, lead_id, dropped)
        _check_size(activity, limits.max_bytes)
        if not found.also:
            if main.held:
                return Outcome(index, found.name, (), (activity,), dropped=dropped)
            return Outcome(index, found.name, (activity,), dropped=dropped)
        activities: list[Activity] = []
        held: list[Activity] = []
        (held if main.held else activities).append(activity)
        for place, further in enumerate(found.also, 1):
            made = self._further(further, event, f"{identity}:{place}", time, lead_id, dropped)
            if made is not None:
                _check_size(made, limits.max_bytes)
                (held if further.held else activities).append(made)
        return Outcome(index, found.name, activities, held, dropped=dropped)

    def _of_each(
        self,
        found: _Kind,
        main: Template,
        each: Getter,
        event: Any,
        index: int | None,
        limits: _Limits,
        dropped: list[Dropped],
    ) -> Outcome:
        """An activity of each item of a list. One that cannot be made is dropped, and so is what is over the bound."""
        made: list[Activity] = []
        try:
            identity, time = found.identity(event), found.time(event, limits.latest)
        except Rejected as rejected:
            return Outcome(index, found.name, rejected=rejected, dropped=dropped)
        for place, item in enumerate(_items(each, event, dropped)):
            with_item = {**event, ITEM: item}
            try:
                lead_id = found.lead(with_item)
                activity = main.activity(self.name, with_item, f"{identity}:{place}", time, lead_id, dropped)
                _check_size(activity, limits.max_bytes)
            except (UnnamedError, SameLeadError):
                continue
            except Rejected as rejected:
                dropped.append(Dropped("each", rejected.reason))
            else:
                made.append(activity)
        if not made:
            return Outcome(index, found.name, ignored=NO_ITEMS, dropped=dropped)
        if main.held:
            return Outcome(index, found.name, (), made, dropped=dropped)
        return Outcome(index, found.name, made, dropped=dropped)

    def _further(
        self, further: Template, event: Any, identity: str, time: str, lead_id: str, dropped: list[Dropped]
    ) -> Activity | None:
        """A further activity; None if it does not apply to the event, or if the event has not what it needs."""
        if further.condition is not None and not further.condition(event):
            return None
        try:
            lead = lead_id if further.lead is None else further.lead(event)
            return further.activity(self.name, event, identity, time, lead, dropped)
        except (UnnamedError, SameLeadError):
            return None
        except Rejected as rejected:
            dropped.append(Dropped("also", rejected.reason))
            return None


def _items(each: Getter, event: Any, dropped: list[Dropped]) -> Sequence[Any]:
    try:
        items = each(event)
    except Unfit as unfit:
        dropped.append(Dropped("each", unfit.reason))
        return ()
    if not isinstance(items, list):
        return ()
    if len(items) > MOST_ITEMS:
        dropped.append(Dropped("each", "too_long"))
    return items[:MOST_ITEMS]


def _check_size(activity: Activity, max_bytes: int) -> None:
    if len(activity.value) > max_bytes:
        raise Rejected("too_large", f"the activity has {len(activity.value)} bytes; expected at most {max_bytes}")
