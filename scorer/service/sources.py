"""The sources that the settings name."""

from scorer.offline.source_files import known_sources, load_source
from scorer.rules.catalogue import suggestion
from scorer.runtime.settings import Settings, SettingsError
from scorer.sources.source import Source


def source_of(name: str, settings: Settings) -> Source:
    """The source of this name. Raises `SettingsError` if there is none, and `SourceError` if its mapping is wrong."""
    known = tuple(known_sources(settings.rules))
    if name not in known:
        hint = suggestion(name, known) or f"; the sources are {', '.join(known)}"
        raise SettingsError(f"SCORER_SOURCES names the source {name!r}, which does not exist{hint}")
    return load_source(name, settings.rules)
