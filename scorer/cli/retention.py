"""`scorer retention`: what the retention of a ruleset would delete, and when."""

import time
from collections import Counter
from typing import Annotated, Final

import typer

from scorer.cli.common import EngineOption, RulesOption, load_or_exit, moment_or_exit, print_columns
from scorer.domain.instant import DAY, SECOND, to_text
from scorer.runtime.default_rules import default_rules

_DAYS: Final = (0, 7, 30, 90, 365)


def retention(
    rules: RulesOption = None,
    engine: EngineOption = None,
    list_until: Annotated[
        str | None,
        typer.Option("--list", metavar="TIME", help="Also list the leads deleted until then (time, date or now)."),
    ] = None,
) -> None:
    """Count the leads that the retention of the rules would delete until now, and in the next days. Changes nothing.

    It reads the changelog. The rules need not be those of the service: try a shorter retention before you use it.
    """
    # Imported here: the offline commands start without the Kafka client.
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.stream.retention_survey import survey_retention

    now = int(time.time()) * SECOND
    listed = moment_or_exit("--list", list_until, now)
    kept = load_or_exit(rules or default_rules(), engine).ruleset.retention
    settings = settings_or_exit()
    found = run_or_exit(survey_retention(settings, kept, now), settings, "retention")
    rows = [("until", "inactive", "erased")]
    for days in _DAYS:
        until = now + days * DAY
        reasons = Counter(lead.reason for lead in found.until(until))
        rows.append((to_text(until), str(reasons["inactive"]), str(reasons["erased"])))
    print_columns(rows)
    staying = found.leads - len(found.leaving)
    typer.echo(f"{found.leads} known; {staying} never deleted" if staying else f"{found.leads} known")
    if listed is not None:
        print_columns(
            [("deleted", "reason", "lead")]
            + [(to_text(lead.instant), lead.reason, lead.lead_id) for lead in found.until(listed)]
        )
