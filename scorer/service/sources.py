"""The sources that the settings name."""

from collections.abc import Collection, Mapping

from scorer.offline.source_files import known_sources, read_used_files, sources_of
from scorer.rules.catalogue import suggestion
from scorer.runtime.settings import Settings, SettingsError
from scorer.sources.source import Source


def sources_in(settings: Settings) -> tuple[dict[str, Source], Mapping[str, bytes]]:
    """The sources of the settings by name, and the files by which they translate. Raises `SettingsError` if there is no
    such source, and `RulesetError` if a file is wrong."""
    names = source_names(settings)
    known = tuple(known_sources(settings.rules))
    for name in names:
        if name not in known:
            hint = suggestion(name, known) or f"; the sources are {', '.join(known)}"
            raise SettingsError(f"SCORER_SOURCES names the source {name!r}, which does not exist{hint}")
    files = read_used_files(names, settings.rules)
    return sources_of(names, settings.rules, files), files


def source_names(settings: Settings) -> Collection[str]:
    """The names of the sources of the settings, sorted."""
    return sorted(set(settings.source_topics.values()))
