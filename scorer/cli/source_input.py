"""Shared by the commands that read files of other senders (`--source`)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from scorer.cli.common import ExitStatus, say, usage_error
from scorer.offline.activity_files import ActivityFile, Block
from scorer.offline.source_files import load_source
from scorer.offline.translation import Count, Translated, Translation
from scorer.runtime.default_rules import default_rules
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.mapping.translation import NO_EVENTS, NO_ITEMS, NO_KIND, NO_NAME, SAME_LEAD, MappingSource
from scorer.sources.source import Source, SourceError

SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Translate the files by this source (scorer sources list); left out: they contain CloudEvents.",
    ),
]


_MOST_LINES: Final = 30
"""Lines about what is no activity."""

_WORDS: Final[Mapping[str, str]] = {
    NO_EVENTS: "the record has no event",
    NO_ITEMS: "its list has no item that can be used",
    NO_KIND: "no kind of the mapping is for it; scorer sources test shows why",
    NO_NAME: "it does not say what it is called",
    SAME_LEAD: "it would merge a lead into itself",
}


class TranslatedFiles:
    """Files of another sender as one part."""

    log_time: Final = None

    def __init__(self, files: Sequence[ActivityFile], source: Source, now: int, only: str | None = None) -> None:
        """`only`: as in `Translation`."""
        self.translated = Translated()
        self._files = files
        self._source = source
        self._now = now
        self._only = only

    def blocks(self) -> Iterator[Block]:
        """All activities, in order. What came of the records beside them is counted from zero."""
        translation = Translation(self._source, self._now, MAX_BYTES, self._only)
        self.translated = translation.translated
        for file in self._files:
            yield from translation.blocks(file.raw_blocks())


def source_or_exit(name: str | None, rules: Path | None, topic: str | None = None) -> Source | None:
    """The source of `--source`; None without the option. If its file has mistakes, print them and exit."""
    if name is None:
        return None
    if topic is not None:
        usage_error("--source is for files; a topic of another sender is translated by the service (SCORER_SOURCES)")
    return loaded_or_exit(name, rules)


def loaded_or_exit(name: str, rules: Path | None) -> Source:
    """The source of this name; the warnings about its file are printed. If there is none or its file has mistakes,
    print them and exit."""
    try:
        source = load_source(name, rules or default_rules())
    except SourceError as error:
        for finding in error.findings:
            say(f"error: {finding.message}" if finding.code == "no-files" else str(finding))
        raise typer.Exit(ExitStatus.USAGE) from None
    if isinstance(source, MappingSource):
        for warning in source.warnings:
            say(str(warning))
    return source


def say_translated(translated: Translated) -> None:
    """Print what came of the records beside activities, each with the place where it came first. What was dropped is
    left to the caller."""
    lines = [
        f"ignored{f' of the kind {kind}' if kind else ''}: {explained(reason)}: {_times(count)}"
        for (kind, reason), count in translated.ignored.items()
    ]
    lines += [
        f"held back, of the kind {kind}: {activity_type}: {_times(count)}"
        for (kind, activity_type), count in translated.held.items()
    ]
    for line in lines[:_MOST_LINES]:
        say(line)
    if len(lines) > _MOST_LINES:
        say(f"… and {len(lines) - _MOST_LINES:,} more kinds of events that are ignored or held back")


def explained(reason: str) -> str:
    """Why an event is ignored, for a person. The reasons that a mapping gives are for people already."""
    words = _WORDS.get(reason)
    return reason if words is None else f"{reason} ({words})"


def _times(count: Count) -> str:
    return f"{count.number:,} {'time' if count.number == 1 else 'times'}, first at {count.first}"
