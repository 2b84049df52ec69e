"""`scorer run`: the service."""

import typer

from scorer.cli.common import ExitStatus, say, say_lines
from scorer.engines.engine import EngineUnavailableError
from scorer.rules.finding import RulesetError


def run() -> None:
    """Run the service. SCORER_* environment variables or a `.env` file configure it; see docs/operations.md."""
    # Imported here: the offline commands start without the Kafka client.
    from scorer.runtime.audit import AuditError
    from scorer.runtime.settings import SettingsError, load_settings
    from scorer.service.run import run as run_service

    try:
        status = run_service(load_settings())
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    except RulesetError as error:
        say_lines(str(error))
        raise typer.Exit(ExitStatus.FINDINGS) from None
    except EngineUnavailableError as error:
        say(f"error: SCORER_ENGINE: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    except AuditError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.FINDINGS) from None
    raise typer.Exit(status)
