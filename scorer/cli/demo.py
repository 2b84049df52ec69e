"""`scorer demo`: a broker, the service and a market on this machine."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.common import EngineOption, ExitStatus, RulesOption, load_or_exit, say, say_lines
from scorer.runtime.default_rules import default_rules


def demo(
    rules: RulesOption = None,
    events: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after N activities.")] = None,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", metavar="F.jsonl", exists=True, dir_okay=False, help="Play this file, not the market."),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Activities a second; 0 means as fast as possible.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the market.")] = 7,
    leads: Annotated[
        int | None, typer.Option(min=1, help="Number of leads; default: derived from the number of activities.")
    ] = None,
    engine: EngineOption = None,
) -> None:
    """Watch the service at work: an embedded broker, the service and a stream of activities, all on this machine.

    Without --events or --input it runs for a long time; Ctrl-C stops it. It writes to ./.scorer-demo and removes
    that folder at the end.
    """
    rules = rules or default_rules()
    evaluator = load_or_exit(rules, engine)
    ruleset, engine_name = evaluator.ruleset, evaluator.engine_name
    from rich.console import Console

    from scorer.demo.errors import DemoError
    from scorer.demo.screen import screen_for
    from scorer.demo.session import Options, run_session
    from scorer.demo.state import DemoState, Service
    from scorer.demo.summary import summary

    # The client's log lines would disturb the view; errors that matter end the demo with a message.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    console = Console()
    state = DemoState(service=Service(ruleset.name, ruleset.revision, engine_name))
    options = Options(rules, engine_name, events, input_file, seed, leads, rate)
    failure = None
    try:
        asyncio.run(_until_stopped(run_session(options, state, screen_for(console))))
    except DemoError as error:
        failure = error
    except KeyboardInterrupt:
        say("stopped immediately")
        raise typer.Exit(130) from None
    for line in state.left_out:
        say(line)
    if failure is None or state.sent:
        width = console.width if console.is_terminal else None
        console.print(summary(state, width), soft_wrap=True, markup=False, highlight=False, emoji=False)
    if failure is not None:
        say_lines(f"error: {failure}")
        raise typer.Exit(ExitStatus.FINDINGS)


async def _until_stopped(session: Coroutine[object, object, None]) -> None:
    """Run it. The first Ctrl-C (or SIGTERM, or a closed terminal) stops it cleanly, the second immediately."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(session)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        task.cancel()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task
