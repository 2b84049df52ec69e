"""The sources that the settings name."""

from scorer.offline.source_files import BUILT_IN, FOLDER, load_source
from scorer.rules.catalogue import suggestion
from scorer.runtime.settings import Settings, SettingsError
from scorer.sources.source import Source


def source_of(name: str, settings: Settings) -> Source:
    """The source of this name. Raises `SettingsError` if there is none, and `SourceError` if its mapping is wrong."""
    own = (path.stem for path in (settings.rules / FOLDER).glob("*.yaml"))
    known = tuple(sorted({*BUILT_IN, *own}))
    if name not in known:
        hint = suggestion(name, known) or f"; the sources are {', '.join(known)}"
        raise SettingsError(f"SCORER_SOURCES names the source {name!r}, which does not exist{hint}")
    return load_source(name, settings.rules)
