"""The story of a lead as text, for a terminal of any width, or without colours for a file."""

import io
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scorer.domain.printable import printable
from scorer.domain.score import Rating, Route
from scorer.explain.story_model import (
    Escalation,
    Event,
    KnownValue,
    RuleChange,
    Story,
    Suggestion,
    Target,
    TimelineEntry,
)
from scorer.explain.wording import (
    DOES_NOT_HOLD,
    activity_text,
    by_text,
    coming,
    entry_steps,
    escalation_text,
    life_lines,
    life_text,
    moment_text,
    points_text,
    signal_text,
    source_text,
    times_text,
    value_text,
    waiting_text,
)

_STYLES = {
    Rating.HOT: "bold red",
    Rating.WARM: "yellow",
    Rating.COLD: "blue",
    Route.SALES: "green",
    Route.NURTURE: "magenta",
    Route.DISCARD: "dim",
}
_FILE_WIDTH = 100
_ENTRIES = 20
_MOMENTS = 12
_BAR = 16


def print_story(story: Story) -> None:
    """Print the story on stdout."""
    console = Console(highlight=False, soft_wrap=False)
    console.print(_story(story, console.width))


def story_text(story: Story) -> str:
    """The story as plain text, 100 columns wide."""
    sink = io.StringIO()
    Console(file=sink, width=_FILE_WIDTH, highlight=False, color_system=None).print(_story(story, _FILE_WIDTH))
    return sink.getvalue()


def _story(story: Story, width: int) -> Group:
    parts: list[RenderableType] = [_head(story)]
    sections = [
        ("Where the points come from", [_waterfall(story, width), *_silent(story)]),
        ("Why it goes there", list(_routing(story))),
        *((f"What would make it {target.rating}", list(_target(target))) for target in story.targets),
        ("Its life between marketing and sales", list(_life(story))),
        ("What time alone will do", list(_outlook(story))),
        ("What changed it", list(_timeline(story))),
        ("What it does, day by day", list(_signals(story))),
        ("What is known about it, and from where", list(_known(story))),
    ]
    for title, body in sections:
        if body:
            parts += [Text(), Text(title, style="bold underline"), *(Padding(item, (0, 0, 0, 1)) for item in body)]
    for note in story.notes:
        parts += [Text(), _plain(note, "italic")]
    return Group(*parts)


def _plain(text: str, style: str = "") -> Text:
    # As text on one line: a field may contain rich markup or terminal control characters.
    return Text(printable(text), style=style, overflow="fold")


def _head(story: Story) -> Group:
    rating, score, routing = story.rating, story.score, story.routing
    title = Text(overflow="fold")
    title.append(printable(story.lead_id), "bold")
    title.append(f"  {score.total} points  ")
    title.append(rating.rating, _STYLES[rating.rating])
    title.append(f"  {story.grade.grade}  ")
    title.append(routing.route, _STYLES[routing.route])
    if routing.queue is not None:
        title.append(printable(f" › {routing.queue}"))
    judged = f"as of {moment_text(story.as_of)} UTC"
    if story.as_of == story.latest_activity:
        judged += ", its latest activity"
    elif story.latest_activity is not None:
        judged += f"; its latest activity was at {moment_text(story.latest_activity)}"
    ruleset = f"{story.ruleset.name} {story.ruleset.revision[:12]}"
    lines = [
        title,
        _plain(f"{judged}; rules {ruleset}", "dim"),
        Text(),
        _plain(f"{score.total} points = {score.fit} for who the lead is + {score.engagement} for what it does"),
        _plain(f"{rating.rating}: {rating.because}"),
        _plain(f"grade {story.grade.grade}: {story.grade.because}"),
        _plain(f"{routing.route}: {routing.reason}"),
    ]
    lines.append(_plain(life_text(story.lifecycle)))
    if promise := waiting_text(story):
        lines.append(_plain(promise))
    if story.merged_into is not None:
        lines.append(_plain(f"merged into {story.merged_into}"))
    if story.erased_at is not None:
        until = moment_text(story.erased_at)
        lines.append(_plain(f"The person asked for their data to be erased: nothing up to {until} UTC is kept."))
    return Group(*lines)


def _waterfall(story: Story, width: int) -> RenderableType:
    if not story.waterfall:
        return Text("No rules or signals give points.")
    table = Table(box=None, header_style="bold", show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("points", justify="right", footer="", no_wrap=True)
    table.add_column("sum", justify="right", footer=str(story.score.total), footer_style="bold", no_wrap=True)
    wide = width >= 100
    if wide:
        table.add_column("", no_wrap=True, width=_BAR)
    table.add_column("rule", overflow="fold", footer="" if wide else "total", max_width=24 if wide else 20)
    table.add_column("why", overflow="fold", footer="total" if wide else "")
    ends = [0, *(step.end for step in story.waterfall)]
    low, high = min(ends), max(ends)
    evidence = {(part.criterion, rule.rule): rule.evidence for part in story.criteria for rule in part.rules}
    for step in story.waterfall:
        why = [_plain(step.reason)]
        if step.kind == "signal":
            signal = next(scored for scored in story.signals if scored.signal == step.rule)
            why.append(_plain(signal_text(signal), "dim"))
        why += [_plain(_evidence(value), "dim") for value in evidence.get((step.criterion, step.rule), ())]
        style = "green" if step.points > 0 else "red"
        cells: list[RenderableType] = [Text(points_text(step.points), style), Text(str(step.end))]
        if wide:
            cells.append(Text(_bar(step.start, step.end, low, high), style))
        rule = step.criterion if step.kind == "limit" else step.rule
        table.add_row(*cells, _plain(f"limit of {rule}" if step.kind == "limit" else rule), Group(*why))
    return table


def _bar(start: int, end: int, low: int, high: int) -> str:
    length = max(1, high - low)
    left, right = (round((total - low) / length * _BAR) for total in sorted((start, end)))
    right = max(right, left + 1)
    if right > _BAR:
        left, right = _BAR - 1, _BAR
    return " " * left + "█" * (right - left)


def _evidence(value: KnownValue) -> str:
    text = f"{value.field} {value_text(value.value)}"
    return text if value.event is None else f"{text} · {_event(value.event)}"


def _event(event: Event) -> str:
    if event.id is None:
        return ", ".join(filter(None, (moment_text(event.time), by_text(event))))
    return f"{moment_text(event.time)} {event.id} {source_text(event)}".rstrip()


def _silent(story: Story) -> Iterable[RenderableType]:
    silent = [part.criterion for part in story.criteria if not part.rules]
    if silent:
        yield _plain(f"No rule holds in: {', '.join(silent)}.", "dim")
    gone = [part.signal for part in story.signals if not part.points]
    if gone:
        yield _plain(f"Counted, but worth nothing now: {', '.join(gone)}.", "dim")
    if story.uncounted_signals:
        names = ", ".join(story.uncounted_signals)
        yield _plain(f"Counted under earlier rules, but worth nothing under these: {names}.", "dim")


def _signals(story: Story) -> Iterable[RenderableType]:
    if not any(signal.days for signal in story.signals):
        return
    table = Table(
        "signal", "day", "counted", "remaining", "points", box=None, header_style="bold", padding=(0, 1, 0, 0)
    )
    for column in table.columns[2:]:
        column.justify = "right"
    table.add_column("events", overflow="fold")
    for signal in story.signals:
        for index, day in enumerate(reversed(signal.days)):
            if index == 5:
                table.add_row("", f"… {len(signal.days) - index} more")
                break
            counted = f"{day.counted}{' (full)' if day.full else ''}"
            events = ", ".join(f"{event.time[11:16]} {event.id}" for event in day.events)
            name = signal.signal if index == 0 else ""
            table.add_row(
                _plain(name), day.day, counted, f"{day.share:.0%}", points_text(day.points), _plain(events, "dim")
            )
    yield table


def _routing(story: Story) -> Iterable[RenderableType]:
    routing = story.routing
    yield _plain(f"{routing.rule} → {routing.route}{f' › {routing.queue}' if routing.queue else ''}: {routing.because}")
    if routing.passed_over:
        yield Text("The first rule that holds decides. These earlier rules do not hold:", style="dim")
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for rule in routing.passed_over:
            table.add_row(_plain(rule.rule), _plain(rule.because.removeprefix(DOES_NOT_HOLD), "dim"))
        yield table
    if routing.not_asked:
        yield _plain(f"Later rules, not checked: {', '.join(routing.not_asked)}.", "dim")


def _target(target: Target) -> Iterable[RenderableType]:
    yield _plain(f"It takes {target.needed} points, {target.missing} more than now.")
    if not target.exhaustive:
        yield _plain("The rules allow more combinations than were searched.")
    if target.size is None:
        yield _plain(f"No three rules or signals are enough: together they reach at most {target.most}.")
        return
    if target.size == 1:
        summary = "One rule or signal is enough."
    else:
        summary = f"It takes at least {target.size} rules or signals together."
    if target.found > len(target.suggestions):
        summary += f" These are the strongest of {target.found:,} ways:"
    yield _plain(summary)
    for suggestion in target.suggestions:
        yield Padding(_suggestion(suggestion), (0, 0, 0, 1))


def _suggestion(suggestion: Suggestion) -> Group:
    names = []
    for wanted in suggestion.wanted:
        name = f"no longer {wanted.rule}" if wanted.ceases else wanted.rule
        times = f" ×{wanted.times}" if wanted.times > 1 else ""
        names.append(f"{name}{times} {points_text(wanted.points)}")
    line = Text(overflow="fold")
    line.append(printable(" and ".join(names)), "bold")
    line.append(f" → {suggestion.score} ")
    line.append(suggestion.rating, _STYLES[suggestion.rating])
    line.append(f", {suggestion.route}")
    reasons = "; ".join(wanted.reason for wanted in suggestion.wanted)
    if suggestion.example:
        reasons += f". For example: {', '.join(f'{k} {value_text(v)}' for k, v in suggestion.example.items())}"
    if suggestion.replaced:
        reasons += f". Instead of {', '.join(suggestion.replaced)}"
    return Group(line, Padding(_plain(reasons, "dim"), (0, 0, 0, 2)))


def _life(story: Story) -> Iterable[RenderableType]:
    life = story.lifecycle
    for time, text in life_lines(life):
        yield _plain(f"{moment_text(time)}  {text}")
    if life.actions:
        actions = ", ".join(f"{name} {times_text(count)}" for name, count in life.actions.items())
        yield _plain(f"Actions that lead to a sale: {actions}.", "dim")


def _outlook(story: Story) -> Iterable[RenderableType]:
    outlook = story.outlook
    if not outlook.ratings:
        yield _plain(f"It stays {story.rating.rating} for as long as counts are kept (until {outlook.until[:10]}).")
    for change in coming(outlook):
        if isinstance(change, Escalation):
            yield _plain(f"{moment_text(change.at)}: {escalation_text(change)}, if nobody answers")
        else:
            yield _plain(f"{change.at[:10]}: {change.rating}, {change.score} points, {change.route}")
    decayed = [f"{moment.at[:10]} {moment.score}" for moment in outlook.moments[1:]]
    if decayed:
        rest = "" if len(decayed) <= _MOMENTS else f", … {decayed[-1]}"
        yield _plain(f"The score if nothing more happens: {', '.join(decayed[:_MOMENTS])}{rest}.", "dim")
    if story.deleted_at is not None:
        yield _plain(f"It is deleted on {story.deleted_at[:10]} unless it is active before.", "dim")
    if story.merged_into is None:
        yield _plain("What changes by time is published when it changes, although the lead does nothing.", "dim")
    else:
        yield _plain("None of it is published before the lead does something, because it was merged.", "dim")


def _timeline(story: Story) -> Iterable[RenderableType]:
    if story.timeline is None:
        return
    earlier = len(story.timeline) - _ENTRIES
    if earlier > 0:
        yield Text(f"The last {_ENTRIES}; {earlier:,} earlier ones are in --format json and html.", style="dim")
    for entry in story.timeline[-_ENTRIES:]:
        line = Text(f"{moment_text(entry.time)}  ", overflow="fold")
        line.append(printable(activity_text(entry.activity)), "bold")
        line.append(f"{' (late)' if entry.late else ''}  ")
        line.append(str(entry.score) if entry.score_before is None else f"{entry.score_before} → {entry.score}")
        line.append("  ").append_text(_change(entry.rating_before, entry.rating))
        line.append("  ").append_text(_change(entry.route_before, entry.route))
        steps = entry_steps(entry)
        below = [_plain(", ".join(steps))] if steps else []
        if entry.changes or not steps:
            below.append(_changes(entry))
        yield Group(line, Padding(Group(*below), (0, 0, 0, 18)))
    if story.without_effect:
        activities = "activity" if story.without_effect == 1 else "activities"
        yield Text(f"{story.without_effect:,} further {activities} changed no points.", style="dim")


def _change(before: Rating | Route | None, after: Rating | Route) -> Text:
    if before is None or before == after:
        return Text(after, "" if before is None else "dim")
    return Text.assemble(f"{before} → ", (str(after), _STYLES[after]))


def _changes(entry: TimelineEntry) -> Text:
    return _plain(", ".join(map(_rule_change, entry.changes)) or "no points changed", "dim")


def _rule_change(change: RuleChange) -> str:
    name = f"limit of {change.criterion}" if change.rule == "cap" else change.rule
    by = " over time" if change.cause == "time" else ""
    if not change.before:
        return f"{name} {points_text(change.after)}{by}"
    if not change.after:
        return f"{name} removed ({points_text(-change.before)}){by}"
    return f"{name} {change.before} → {change.after}{by}"


def _known(story: Story) -> Iterable[RenderableType]:
    consent = ", ".join(
        f"{fact.field.removeprefix('consent.')} {value_text(fact.value)}"
        + ("" if fact.event is None else f" ({_event(fact.event)})")
        for fact in story.consent
    )
    yield _plain(f"Consent: {consent}.")
    if story.published is not None:
        last = story.published
        route = f"{last.route}{f' › {last.queue}' if last.queue else ''}"
        summary = f"{last.score} points, {last.rating}, {last.grade}, {route}"
        yield _plain(f"Last published: {summary}; as of {moment_text(last.at)}.")
    if not story.known:
        return
    table = Table("field", "value", "from", box=None, header_style="bold", padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    for fact in story.known:
        value = "withdrawn" if fact.value is None else value_text(fact.value)
        source = "" if fact.event is None else _event(fact.event)
        table.add_row(_plain(fact.field), _plain(value), _plain(source, "dim"))
    yield table
