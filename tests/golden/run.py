"""What the scorer writes for a stream of mixed activities, as one SHA-256 for each kind of output.

    python -m tests.golden.run [--count N] [--check | --write]

prints the hashes of both rulesets as JSON. `--check` compares them with `hashes.json`. `--write` writes them
there, including those of the short stream if no count is given.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

from structlog.testing import capture_logs
from typer.testing import CliRunner

from scorer.cli import app
from scorer.dlq.dead_letter import SHORTENED
from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.lead import Lead
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.explain.story import NothingToExplain, explain_lead
from scorer.explain.timeline import history
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.offline.ruleset_files import read_rule_files
from scorer.rules.loader import parse_ruleset
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.state.codec import encode_lead
from scorer.state.marker import Marker
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.outbox import Outbox
from scorer.stream.shadow import Shadow
from tests.golden.mixed_activities import (
    FAILING,
    FAILING_ONCE,
    MAX_BYTES,
    NOW,
    UNWRITABLE,
    FakeRecord,
    RulesetName,
    records,
)

ROOT: Final = Path(__file__).parents[2]
HASHES: Final = Path(__file__).with_name("hashes.json")
RULESETS: Final[Sequence[RulesetName]] = get_args(RulesetName)
BUILT_IN_TYPES: Final = frozenset(PAYLOADS)
SEED: Final = 20_240_229
FULL: Final = 100_000
"""Activities per ruleset."""
SHORT: Final = 2_000
"""Activities per ruleset if it must be fast."""

_FILE_LENGTH: Final = 20_000
_TOLD_LEADS: Final = 300
_COMMANDED_LEADS: Final = 3
_STATUSES: Final = (0, 3)
"""Exit statuses of commands that succeeded; 3: with rejected lines."""
_CLOCK: Final = (NOW - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
_CHANGES: Final[Mapping[RulesetName, Sequence[tuple[str, str]]]] = {
    "b2b": (
        ("warm: 30, hot: 70, hysteresis: 5", "warm: 25, hot: 60, hysteresis: 3"),
        ("when: {bant.budget_status: approved}, points: 15", "when: {bant.budget_status: approved}, points: 22"),
        ("points: 5\n    daily_cap: 2\n    max_points: 20", "points: 7\n    daily_cap: 3\n    max_points: 21"),
        ("queue: field-sales\n    respond_within: 2h", "queue: field-sales-north\n    respond_within: 3h"),
        (
            "{days_since.opportunity_lost: {lte: 365}}, points: -30",
            "{days_since.opportunity_lost: {lte: 200}}, points: -20",
        ),
    ),
    "education": (
        ("warm: 0, hot: 20", "warm: 5, hot: 24"),
        ("{total_visits: {gte: 4}}, points: 4", "{total_visits: {gte: 3}}, points: 6"),
        ("queue: counsellors-by-mail", "queue: letters"),
        ("respond_within: 4h", "respond_within: 2h"),
    ),
}
"""The differences between a candidate and the rules in effect."""


@dataclass(frozen=True)
class Measured:
    """The hashes of all outputs, and how often things happened."""

    hashes: dict[str, str] = field(default_factory=dict)
    activities: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    rescored: Counter[str] = field(default_factory=Counter)
    samples: int = 0

    def add(self, figures: BatchFigures) -> None:
        """Add the figures of a batch."""
        self.activities.update(figures.activities)
        for (rating, route), times in figures.decisions.items():
            self.decisions[str(rating)] += times
            self.routes[str(route)] += times
        for (before, after), times in figures.transitions.items():
            self.transitions[f"{before}-{after}"] += times
        self.dead_letters.update(figures.dead_letters)


def hashes(ruleset: RulesetName, count: int, seed: int) -> dict[str, str]:
    """The hash of each kind of output for a stream of `count` activities."""
    return measure(ruleset, count, seed).hashes


def measure(ruleset: RulesetName, count: int, seed: int) -> Measured:
    """The hashes, and figures that show how mixed the stream is."""
    with capture_logs(), TemporaryDirectory() as directory:
        files = _rule_files(ruleset)
        rules = Evaluator(parse_ruleset(files), default_engine(None))
        candidate = Evaluator(parse_ruleset(_changed(files, ruleset)), default_engine(None))
        settings = _settings(ruleset)
        stream = list(records(ruleset, count, seed))
        short = list(records(ruleset, min(count, _FILE_LENGTH), seed + 1))
        store = LeadStore(settings.cache_leads)
        measured = Measured()
        digests: dict[str, _Digest] = defaultdict(_Digest)
        for message in _written(settings, rules, stream, store, measured):
            _note(message, settings, digests)
        for lead in sorted(store.leads(), key=lambda lead: lead.id):
            digests["states"].add(lead.id.encode(), encode_lead(lead))
        samples = list(_samples(settings, rules, candidate, short))
        digests["shadow"].add_all(samples)
        digests["rescored"].add_all(_rescored(settings, rules, candidate, store, measured))
        for story in _stories(rules, stream):
            digests["stories"].add(story)
        for name, output in _outputs(ruleset, _changed(files, ruleset), short, Path(directory)):
            digests[name].add(output)
        measured.hashes.update({name: digest.text() for name, digest in sorted(digests.items())})
        return replace(measured, samples=len(samples))


def decisions(ruleset: RulesetName, count: int, seed: int, engine: EngineName) -> str:
    """The hash of the decisions alone, with the given engine."""
    with capture_logs():
        rules = Evaluator(parse_ruleset(_rule_files(ruleset)), default_engine(engine))
        settings = _settings(ruleset)
        digests: dict[str, _Digest] = defaultdict(_Digest)
        store = LeadStore(settings.cache_leads)
        for message in _written(settings, rules, list(records(ruleset, count, seed)), store, Measured()):
            _note(message, settings, digests)
        return digests["decisions"].text()


NOT_OF_THE_DECISION: Final = ("published-at", "schema_version", "traceparent", "tracestate")
"""Headers that say when a record was published, to which trace it belongs, and again what the value says."""


class _Digest:
    """A hash over byte strings, each with its length, so that it shows bytes that move to another string."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, *parts: bytes | None) -> None:
        for part in parts:
            self._hash.update(b"-" if part is None else b"%d:%b" % (len(part), part))

    def add_message(self, message: Message, without: Iterable[str] = NOT_OF_THE_DECISION) -> None:
        self.add(message.key, message.value)
        for name, value in message.headers:
            if name not in without:
                self.add(name.encode(), value)

    def add_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.add(message.topic.encode(), b"" if message.partition is None else b"%d" % message.partition)
            self.add_message(message)

    def text(self) -> str:
        return self._hash.hexdigest()


def _note(message: Message, settings: Settings, digests: Mapping[str, _Digest]) -> None:
    if message.topic == settings.routing_topic:
        digests["decisions"].add_message(message)
    elif message.topic == settings.state_topic:
        digests["states"].add_message(message)
    else:
        assert message.topic == settings.dead_letter_topic
        # If our own code failed, the detail names functions and lines.
        ours = ("dlq-reason", b"internal_error") in message.headers
        digests["dead_letters"].add_message(message, ("dlq-detail",) if ours else ())


def _settings(ruleset: RulesetName) -> Settings:
    return Settings(
        _env_file=None,
        group="golden",
        activity_topic="lead.activity",
        routing_topic="lead.routing",
        dead_letter_topic="lead.activity.dlq",
        state_topic="golden.lead-state",
        shadow_topic="lead.routing.shadow",
        rules=ROOT / "rules" / ruleset,
        shadow_rules=ROOT / "rules" / ruleset,
        max_value_bytes=MAX_BYTES,
        # Few, so that most leads are decoded.
        cache_leads=40,
    )


def _rule_files(ruleset: RulesetName) -> dict[str, bytes]:
    return {Path(name).name: content for name, content in read_rule_files(ROOT / "rules" / ruleset).items()}


def _changed(files: Mapping[str, bytes], ruleset: RulesetName) -> dict[str, bytes]:
    changed = dict(files)
    for before, after in _CHANGES[ruleset]:
        (name,) = [name for name, content in changed.items() if before.encode() in content]
        changed[name] = changed[name].replace(before.encode(), after.encode())
    return changed


class _Judge:
    """The service's function for each activity. It fails on those whose ids say so."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._failed: set[str] = set()

    def __call__(self, lead: Lead, activity: LeadActivity, arrival: int | None, _: object = None) -> Assessment:
        if activity.id.startswith(FAILING_ONCE):
            if activity.id not in self._failed:
                self._failed.add(activity.id)
                raise ArithmeticError(activity.id)
        elif activity.id.startswith(FAILING):
            raise ArithmeticError(activity.id)
        assessment = self._evaluator.assess(lead, activity, arrival)
        if activity.id.startswith(UNWRITABLE) and assessment.lead is not lead:
            unwritable: Any = (object(),)
            assessment.lead = replace(assessment.lead, rules_at_return=unwritable)
        return assessment


def _written(
    settings: Settings, evaluator: Evaluator, stream: Sequence[FakeRecord], store: LeadStore, measured: Measured
) -> Iterator[Message]:
    """The messages of batches of any size. Some transactions are aborted, and others repeat their records."""
    judge, limits = _Judge(evaluator), TopicLimits(settings)
    whole = BatchProcessor(settings, judge, lambda: _CLOCK)
    cutting = BatchProcessor(settings, judge, lambda: _CLOCK, limits=limits)
    limits.current = replace(limits.current, whole_letter=SHORTENED)
    random, begin, is_retry = Random(1), 0, False
    while begin < len(stream):
        batch = stream[begin : begin + random.choice((1, 2, 17, 99, 100, 101, 300, random.randint(1, 700)))]
        processor = cutting if is_retry and random.random() < 0.8 else whole
        outbox, figures = processor.process(batch, store)
        is_retry = not is_retry and random.random() < 0.3
        if is_retry:
            store.discard()
            continue
        store.commit()
        measured.add(figures)
        begin += len(batch)
        assert outbox.next_offset == begin
        yield from outbox.messages


def _samples(
    settings: Settings, live: Evaluator, candidate: Evaluator, stream: Sequence[FakeRecord]
) -> Iterator[Message]:
    """The samples of leads that the candidate judges differently."""
    passed = 0.0

    def assess_later(lead: Lead, activity: LeadActivity, arrival: int | None, _: object = None) -> Assessment:
        nonlocal passed
        passed += 0.03
        return live.assess(lead, activity, arrival)

    shadow = Shadow(settings, lambda: passed)
    shadow.use(candidate)
    processor = BatchProcessor(settings, assess_later, lambda: _CLOCK, shadow)
    store = LeadStore(settings.cache_leads)
    for begin in range(0, len(stream), 250):
        outbox, _ = processor.process(stream[begin : begin + 250], store)
        store.commit()
        yield from (message for message in outbox.messages if message.topic == settings.shadow_topic)


def _seconds(step: float) -> Callable[[], float]:
    """A clock that advances by `step` at each call."""
    passed = 0.0

    def now() -> float:
        nonlocal passed
        passed += step
        return passed

    return now


def _rescored(
    settings: Settings, before: Evaluator, after: Evaluator, store: LeadStore, measured: Measured
) -> Iterator[Message]:
    """The messages after a change of rules. Some transactions are aborted."""
    store.marker = Marker(before.ruleset.revision, 1, None)
    seconds = _seconds(1.0)
    rescorer = Rescorer(settings, lambda: after, lambda: _CLOCK, TokenBucket(seconds), seconds)
    sweep = Sweep(rescorer, store, 0)
    number = 0
    while sweep.patience() is not None:
        if not sweep.ready():
            continue
        outbox, figures = Outbox(FULL + number), BatchFigures()
        sweep.stage(outbox, figures, busy=False)
        number += 1
        if number % 3 == 2:
            store.discard()
            continue
        store.commit()
        sweep.committed()
        measured.rescored.update(figures.rescored)
        yield from outbox.messages


def _stories(evaluator: Evaluator, stream: Iterable[FakeRecord]) -> Iterator[bytes]:
    """The stories of some leads as of their latest activity, and of fewer as of now, without history, as in the
    service."""
    activities: dict[str, list[LeadActivity]] = defaultdict(list)
    for record in stream:
        try:
            activity = parse_record(record.value, record.key, record.headers, _CLOCK, max_bytes=MAX_BYTES)
        except Rejected:
            continue
        activities[activity.lead_id].append(activity)
    ids = sorted(activities)
    for number, lead_id in enumerate(ids[:: -(-len(ids) // _TOLD_LEADS)]):
        known = history(lead_id, activities[lead_id], evaluator)
        yield lead_id.encode()
        try:
            yield explain_lead(known.lead, evaluator, None, known).model_dump_json(indent=2).encode()
            if number % 4 == 0:
                yield explain_lead(known.lead, evaluator, _CLOCK).model_dump_json(indent=2).encode()
        except NothingToExplain as error:
            yield f"{error.reason}: {error}".encode()


def _outputs(
    ruleset: RulesetName, candidate: Mapping[str, bytes], stream: Iterable[FakeRecord], directory: Path
) -> Iterator[tuple[str, bytes]]:
    """The output of the commands for a file of activities."""
    file = directory / "activities.jsonl"
    lines = [record.value for record in stream if record.value is not None and b"\n" not in record.value]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    new = directory / "new"
    new.mkdir()
    for name, content in candidate.items():
        (new / name).write_bytes(content)
    rules = str(ROOT / "rules" / ruleset)
    yield "score", _printed(["score", "--rules", rules, "--input", str(file)])
    compared = ["backtest", "--rules", str(new), "--against", rules, "--format", "json", "--workers", "1"]
    yield "backtest", _printed([*compared, "--input", str(file)]).replace(str(file).encode(), b"activities.jsonl")
    subjects = Counter(subject for line in lines if (subject := _subject(line)))
    for number, (lead_id, _) in enumerate(subjects.most_common(_COMMANDED_LEADS)):
        command = ["explain", lead_id, "--rules", rules, "--input", str(file), "--format", "json"]
        # Only the first one as a process, because each takes a second.
        yield "stories", _printed(command) if number else _printed_by_process(command)


def _subject(line: bytes) -> str | None:
    try:
        subject = json.loads(line)["subject"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return subject if isinstance(subject, str) and subject.isascii() else None


def _printed(command: Sequence[str]) -> bytes:
    done = CliRunner().invoke(app, command)
    assert done.exit_code in _STATUSES, done.output
    return b"%d\n" % done.exit_code + done.stdout_bytes


def _printed_by_process(command: Sequence[str]) -> bytes:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "scorer", *command]
    done = subprocess.run(line, capture_output=True, cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode in _STATUSES, done.stderr
    return b"%d\n" % done.returncode + done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 if a hash differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help=f"activities per ruleset; default: {FULL:,}")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with hashes.json")
    mode.add_argument("--write", action="store_true", help="write hashes.json")
    given = parser.parse_args(arguments)
    counts = [given.count] if given.count else [SHORT, FULL] if given.write else [FULL]
    current = {str(count): {ruleset: hashes(ruleset, count, SEED) for ruleset in RULESETS} for count in counts}
    sys.stdout.write(json.dumps(current, indent=2) + "\n")
    known = json.loads(HASHES.read_text()) if HASHES.exists() else {}
    if given.write:
        merged = sorted((known | current).items(), key=lambda entry: int(entry[0]))
        HASHES.write_text(json.dumps(dict(merged), indent=2) + "\n")
    if given.check:
        wrong = [
            f"{count} {ruleset} {name}"
            for count, by_ruleset in current.items()
            for ruleset, by_name in by_ruleset.items()
            for name, text in by_name.items()
            if known.get(count, {}).get(ruleset, {}).get(name) != text
        ]
        sys.stderr.write("".join(f"not as in hashes.json: {name}\n" for name in wrong))
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
