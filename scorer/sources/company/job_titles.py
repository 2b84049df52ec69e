"""Job title -> level and department, by a table that a ruleset can bring along (`job_titles.yaml`).

The groups are read from top to bottom: the first one of which a phrase is in the title decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from scorer.domain.activity import JobLevel, Name
from scorer.rules.finding import Finding, RulesetError
from scorer.rules.validation import by_generic_path, findings_of
from scorer.rules.yaml_source import Document, Path, read
from scorer.sources.company.converter import Unfit, text_of
from scorer.sources.company.job_title_words import MOST_WORDS, PhraseKey, Phrases, key_of, words_of

FILE: Final = "job_titles.yaml"
"""Its name, in the folder of the ruleset and in this package."""

_LONGEST: Final = 256
"""Of a title, as `profile.job_title` has it."""


def _phrase(text: str) -> str:
    words = words_of(text)
    stars = text.count("*")
    if not words:
        raise ValueError("a title needs a letter or a digit")
    if len(words) > MOST_WORDS:
        raise ValueError(f"a title can have at most {MOST_WORDS} words")
    if stars and (stars > 1 or len(words) > 1 or not (text.startswith("*") or text.endswith("*"))):
        raise ValueError("a star stands for letters at the start or at the end of a single word, as in `*leiter`")
    return text


Title = Annotated[Name, AfterValidator(_phrase)]
Titles = Annotated[list[Title], Field(min_length=1, description="Titles, or words of titles.")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LevelSection(_Section):
    """Titles of one level."""

    level: JobLevel = Field(description="The level, a choice of `profile.job_level`.")
    titles: Titles


class DepartmentSection(_Section):
    """Titles of one department."""

    department: Name = Field(description="The department, as rules compare it with `profile.department`.")
    titles: Titles


class JobTitlesFile(_Section):
    """A table of job titles (`job_titles.yaml`)."""

    built_in: bool = Field(
        True, description="Whether the built-in table is used too: its groups come after those of this file."
    )
    levels: list[LevelSection] = Field(default_factory=list, description="Levels: the first group found decides.")
    departments: list[DepartmentSection] = Field(
        default_factory=list, description="Departments: the first group found decides."
    )


_SECTIONS: Final[Mapping[Path, type[BaseModel]]] = {
    (): JobTitlesFile,
    ("levels", "*"): LevelSection,
    ("departments", "*"): DepartmentSection,
}


class JobTitles:
    """Two converters of job titles, by one table."""

    def __init__(self, tables: Sequence[JobTitlesFile]) -> None:
        """The groups of the first table come first. A title that several tables have is that of the first one."""
        self._level = _converter([(each.level, each.titles) for table in tables for each in table.levels])
        self._department = _converter(
            [(each.department, each.titles) for table in tables for each in table.departments]
        )

    def job_level(self, value: object) -> str | None:
        """The level of a job title, a choice of `profile.job_level`; None if there is no value.

        Raises `Unfit` if the table has no word of it.
        """
        return self._level(value)

    def department(self, value: object) -> str | None:
        """The department of a job title; None if there is no value. Raises `Unfit` if the table has no word of it."""
        return self._department(value)


def parse_job_titles(file: str, content: bytes) -> JobTitles:
    """The table of a file, followed by the built-in one unless the file says otherwise.

    Raises `RulesetError` with every mistake and its position.
    """
    own = _table(file, content)
    return JobTitles([own, _built_in()] if own.built_in else [own])


def built_in_job_titles() -> JobTitles:
    """The table of a ruleset that brings none."""
    return JobTitles([_built_in()])


@cache
def _built_in() -> JobTitlesFile:
    return _table(FILE, files(__package__).joinpath(FILE).read_bytes())


def _table(file: str, content: bytes) -> JobTitlesFile:
    document = read(file, content)
    if not isinstance(document.data, dict):
        message = "a table of job titles is a mapping with `levels` and `departments`"
        raise RulesetError([Finding(document.position(()), "bad-file", message)])
    try:
        table = JobTitlesFile.model_validate(document.data)
    except ValidationError as error:
        raise RulesetError(findings_of(document, error, by_generic_path(_SECTIONS))) from error
    findings = [
        *_twice(document, "levels", [each.titles for each in table.levels]),
        *_twice(document, "departments", [each.titles for each in table.departments]),
    ]
    if findings:
        raise RulesetError(findings)
    return table


def _twice(document: Document, section: str, groups: Sequence[Sequence[str]]) -> Iterator[Finding]:
    lines: dict[PhraseKey, int] = {}
    for group, titles in enumerate(groups):
        for index, title in enumerate(titles):
            key, position = key_of(title), document.position((section, group, "titles", index), of_value=True)
            if key in lines:
                message = f"`{title}` is given twice; the first is on line {lines[key]}"
                yield Finding(position, "duplicate-key", message)
            lines.setdefault(key, position.line)


def _converter(groups: Sequence[tuple[str, Sequence[str]]]) -> Callable[[object], str | None]:
    phrases = Phrases([titles for _, titles in groups])

    # Thousands of people have the same title, so a cache pays off.
    @lru_cache(4096)
    def name_of(title: str) -> str | None:
        group = phrases.first_group(title)
        return None if group is None else groups[group][0]

    def convert(value: object) -> str | None:
        title = text_of(value, _LONGEST)
        if title is None:
            return None
        name = name_of(title)
        if name is None:
            raise Unfit("not_a_choice")
        return name

    return convert
