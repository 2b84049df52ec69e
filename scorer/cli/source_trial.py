"""What comes of the records of a file by one source, for `scorer sources test`."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from scorer.cli.common import ExitStatus, say
from scorer.cli.source_input import explained, loaded_or_exit
from scorer.domain.activity import LISTING
from scorer.domain.printable import counted, printable
from scorer.domain.unfitting import CUSTOM
from scorer.domain.unfitting_keys import as_example
from scorer.offline.activity_files import ActivityFile
from scorer.offline.mapping_hints import EmptyPaths, Unchosen
from scorer.offline.place import place, place_text
from scorer.offline.ruleset_files import load_ruleset
from scorer.offline.sender_records import records_of
from scorer.offline.sent_values import SentValues
from scorer.offline.source_files import BUILT_IN, load_source, own_files
from scorer.rules.catalogue import suggestion
from scorer.rules.finding import RulesetError
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.mapping.translation import NO_KIND, MappingSource
from scorer.sources.rejected import Rejected
from scorer.sources.source import Activity, Outcome
from scorer.sources.strict_json import decode_object

_MOST_HINTS: Final = 10


class _Told(NamedTuple):
    """What came of one record. `line`: the number of its first line, from 1."""

    line: int
    value: bytes
    outcomes: Sequence[Outcome]


class Trial:
    """A file, read by a source. Exits if there is none of this name or its mapping has mistakes."""

    def __init__(self, file: ActivityFile, source: str, location: Path) -> None:
        """`location`: of the ruleset, which can have sources of its own. Raises `InputError`."""
        self.name = source
        self._file = file.name
        self._source = loaded_or_exit(source, location)
        self._told = list(self._read(file, time.time_ns() // 1000))
        self._outcomes = [outcome for told in self._told for outcome in told.outcomes]
        self._own = own_files(location).get(source)
        self._mapping = self._own or f"the mapping (scorer sources show {source})"
        self.fitting = sum(bool(outcome.activities or outcome.held) for outcome in self._outcomes)

    @property
    def extends(self) -> str | None:
        """The name of the source that this one changes."""
        return self._source.file.extends if isinstance(self._source, MappingSource) else None

    def made(self) -> list[Any]:
        """What all activities say, but for the name of the source."""
        return [
            {**_event(activity), "source": None}
            for outcome in self._outcomes
            for activity in (*outcome.activities, *outcome.held)
        ]

    def show(self) -> None:
        """Print what came of each event, and a summary."""
        sent = unchosen = None
        if isinstance(self._source, MappingSource):
            sent, unchosen = SentValues(self._source.file), Unchosen(self._source.file)
        for told in self._told:
            events = sent.events(told.value) if sent is not None and _needs_events(told.outcomes) else ()
            for number, outcome in enumerate(told.outcomes):
                event = events[number] if number < len(events) else None
                self._show_outcome(told.line, outcome)
                if outcome.ignored == NO_KIND and unchosen is not None:
                    typer.echo(printable(f"  {unchosen.sentence(event)}"))
                for key, reason in outcome.dropped:
                    value = "" if sent is None else as_example(sent.of(event, outcome.kind, key))
                    typer.echo(printable(f"  dropped: {key}: {reason}{value and f': {value}'}"))
        parts = [
            counted(sum(len(outcome.activities) for outcome in self._outcomes), "activity"),
            f"{sum(len(outcome.held) for outcome in self._outcomes):,} held back",
            f"{sum(outcome.ignored is not None for outcome in self._outcomes):,} ignored",
            f"{self._rejected:,} rejected",
        ]
        if dropped := sum(len(outcome.dropped) for outcome in self._outcomes):
            parts.append(f"{counted(dropped, 'key')} dropped")
        if self._outcomes:
            typer.echo(f"{counted(len(self._outcomes), 'event')}: {', '.join(parts)}")

    def give_hints(self, rules: Path | None) -> None:
        """Print what the mapping probably did not intend. `rules`: those that shall score the activities."""
        hints = []
        if any(outcome.ignored == NO_KIND for outcome in self._outcomes):
            hints.append(f"`kinds` in {self._mapping} says which events are wanted (docs/sources.md#kinds)")
        if self._own is not None and isinstance(self._source, MappingSource):
            hints += self._empty_paths(self._source)
        if rules is not None:
            hints += self._undeclared(rules)
        for hint in hints[:_MOST_HINTS]:
            say(f"hint: {hint}")
        if len(hints) > _MOST_HINTS:
            say(f"… and {len(hints) - _MOST_HINTS:,} more hints")

    def exit_if_rejected(self) -> None:
        """Exit if an event is rejected, or if there is none."""
        if not self._outcomes:
            say(f"error: no event in {self._file}")
        if self._rejected or not self._outcomes:
            raise typer.Exit(ExitStatus.REJECTED)

    @property
    def _rejected(self) -> int:
        return sum(outcome.rejected is not None for outcome in self._outcomes)

    def _read(self, file: ActivityFile, now: int) -> Iterator[_Told]:
        for records in records_of(self._source, file.raw_blocks(), MAX_BYTES):
            for line, value in records.records:
                try:
                    outcomes = self._source.outcomes(value, (), now, MAX_BYTES)
                except Rejected as rejected:
                    outcomes = [Outcome(None, "", rejected=rejected)]
                yield _Told(line, value, outcomes)

    def _show_outcome(self, line: int, outcome: Outcome) -> None:
        text = f"{self._file}:{place_text(place(line, outcome.index))}{outcome.kind and f' {outcome.kind}'}"
        if outcome.ignored is not None:
            # For an event of no kind, a line of its own says more.
            text += f": ignored: {NO_KIND if outcome.ignored == NO_KIND else explained(outcome.ignored)}"
        if outcome.rejected is not None:
            text += f": rejected: {outcome.rejected.reason}: {outcome.rejected.detail}"
        typer.echo(printable(text))
        for activity in outcome.activities:
            _show_activity("", activity)
        for activity in outcome.held:
            _show_activity("held back: ", activity)

    def _empty_paths(self, source: MappingSource) -> list[str]:
        extended = source.file.extends
        base = load_source(extended, None) if extended in BUILT_IN and extended is not None else None
        paths = EmptyPaths(source.file, base.file.kinds if isinstance(base, MappingSource) else ())
        sent = SentValues(source.file)
        for told in self._told:
            for event, outcome in zip(sent.events(told.value), told.outcomes, strict=False):
                paths.note(event, outcome.kind)
        return paths.sentences()

    def _undeclared(self, rules: Path) -> list[str]:
        """The own facts that the activities state and the rules do not declare."""
        try:
            declared = load_ruleset(rules).own_fields
        except RulesetError:
            return [f"{rules} has mistakes (scorer check), so the custom facts were not compared with its `fields`"]
        facts = Counter(
            name
            for outcome in self._outcomes
            for activity in outcome.activities
            if activity.type in LISTING
            for name in _own_facts(activity)
            if name not in declared
        )
        return [
            f"`custom.{name}` is in {counted(number, 'activity')}, but the rules do not declare `{name}` under "
            f"`fields`, so it will be dropped{suggestion(name, declared)}"
            for name, number in facts.most_common()
        ]


def _needs_events(outcomes: Sequence[Outcome]) -> bool:
    return any(outcome.dropped or outcome.ignored == NO_KIND for outcome in outcomes)


def _event(activity: Activity) -> dict[str, Any]:
    # An event in our own format is as it was sent, with numbers and halves of pairs that only our own parser reads.
    return decode_object(activity.value, len(activity.value), "the event")


def _own_facts(activity: Activity) -> Sequence[str]:
    # An event in our own format can be without data, or have it as text, and the facts in it need not be an object.
    data = _event(activity).get("data")
    facts = data.get(CUSTOM) if isinstance(data, dict) else None
    return list(facts) if isinstance(facts, dict) else []


def _show_activity(prefix: str, activity: Activity) -> None:
    event = _event(activity)
    data = json.dumps(event.get("data", {}), ensure_ascii=False, separators=(",", ":"))
    typer.echo(printable(f"  {prefix}{activity.type} of {activity.lead_id} at {event['time']} {data}"))
