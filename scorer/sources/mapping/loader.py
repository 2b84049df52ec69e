"""From a mapping file to a source: read, validate, check, compile. Pure: the caller passes the file as bytes."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from scorer.rules.finding import Finding, RulesetError
from scorer.rules.validation import findings_of
from scorer.rules.yaml_source import Document, Path, read
from scorer.sources.company.converter import Converter
from scorer.sources.mapping.checks import check_mapping, doubtful_types
from scorer.sources.mapping.extending import Delivered, extended
from scorer.sources.mapping.language import (
    ActivitySection,
    KindSection,
    LeadPath,
    MappingFile,
    Otherwise,
    TimePath,
    TypeSection,
    ValueSection,
)
from scorer.sources.mapping.translation import MappingSource
from scorer.sources.source import SourceError


def parse_mapping(
    name: str,
    file: str,
    content: bytes,
    converters: Mapping[str, Converter],
    delivered: Delivered = lambda name: None,
) -> MappingSource:
    """The source of a mapping file. `name`: of the source; `file`: for findings; `delivered`: what it can extend.
    Raises `SourceError` with every mistake and its position."""
    try:
        document = read(file, content)
    except RulesetError as error:
        raise SourceError(error.findings) from error
    if not isinstance(document.data, dict):
        message = "a mapping file is a mapping of sections: description, lead, id, time, kinds …"
        raise SourceError([Finding(document.position(()), "bad-file", message)])
    document = extended(document, delivered)
    mapping = _model(document)
    findings = check_mapping(mapping, document)
    if findings:
        raise SourceError(findings)
    return MappingSource(name, mapping, converters, doubtful_types(mapping, document))


def _model(document: Document) -> MappingFile:
    try:
        return MappingFile.model_validate(document.data)
    except ValidationError as error:
        raise SourceError(findings_of(document, error, _model_at)) from error


def _model_at(path: Path) -> type[BaseModel] | None:
    steps = tuple("*" if isinstance(part, int) else part for part in path)
    match steps:
        case ():
            return MappingFile
        case ("kinds", "*"):
            return KindSection
        case ("otherwise",):
            return Otherwise
        case (*_, "also", "*"):
            return ActivitySection
        case (*_, "lead") | (*_, "lead", "*"):
            return LeadPath
        case (*_, "time") | (*_, "time", "*"):
            return TimePath
        case (*_, "type"):
            return TypeSection
        case (*_, "data", _) | (*_, "data", _, _):
            return ValueSection
    return None
