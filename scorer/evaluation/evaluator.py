"""Judges leads by rules. The service, `scorer score`, rule tests and backtests all use `Evaluator`, so that a result
offline is the result in production.

No clock and no I/O. Deterministic: equal input gives equal results, whatever was evaluated before. It keeps caches.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Hit
from scorer.domain.decision import Contribution
from scorer.domain.effects import Decided, Effect, HandedOver
from scorer.domain.facts import Facts
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead, Published
from scorer.domain.statements import RETURNED, is_kept
from scorer.engines.engine import RuleEngine
from scorer.evaluation.allowed_sources import restrictions
from scorer.evaluation.contributions import Cause, ContributionTemplates, contributions, decision
from scorer.evaluation.criteria import CriteriaTables
from scorer.evaluation.kept_facts import value_tests
from scorer.evaluation.notes import Notes
from scorer.evaluation.results import Assessment, CriteriaResult, Evaluation
from scorer.evaluation.routing import ERASED, MERGED, RoutingTable, behaviour_input, criteria_input
from scorer.evaluation.signal_points import SignalHits, SignalPoints, signal_points
from scorer.rules.catalogue import Catalogue
from scorer.rules.routing_facts import RoutingInput, routing_facts_of, value_of
from scorer.rules.ruleset import Criterion, Ruleset, ScoringRule


class Evaluator:
    """Judges leads by one ruleset. It owns everything that is compiled or remembered, apart from the notes in
    `Lead.notes`, which only evaluators read. Instants are microseconds since the epoch.

    Leads keep the custom facts that the ruleset declares, and those of `keeps`: the own fields of other rules that
    judge the same leads. A value needs a type that either declares. `keeps_signals` are the signals of those rules.
    """

    def __init__(
        self,
        ruleset: Ruleset,
        engine: RuleEngine,
        keeps: Catalogue = MappingProxyType({}),
        keeps_signals: Collection[str] = frozenset(),
    ) -> None:
        self.ruleset = ruleset
        self.engine_name = engine.name
        self._engine = engine
        self._tables = CriteriaTables(ruleset, engine)
        self._routing = RoutingTable(ruleset, self._tables, engine)
        self._hits = SignalHits([*ruleset.signals.values()])
        self._signals = {signal.id: SignalPoints(signal) for signal in ruleset.signals.values()}
        self._templates = ContributionTemplates(ruleset)
        self._restricted = restrictions(ruleset.allowed_sources)
        self.kept_facts = value_tests(ruleset.own_fields, keeps)
        """The custom facts that leads keep, for `Lead.apply`."""
        self._kept_signals = frozenset(ruleset.signals).union(keeps_signals)

    def keeping(self, keeps: Catalogue, keeps_signals: Collection[str]) -> "Evaluator":
        """An evaluator of the same ruleset with other `keeps`. Both share everything compiled and remembered."""
        other = copy(self)
        ruleset = self.ruleset
        vars(other).update(
            kept_facts=value_tests(ruleset.own_fields, keeps),
            _kept_signals=frozenset(ruleset.signals).union(keeps_signals),
        )
        return other

    def assess(self, lead: Lead, activity: LeadActivity) -> Assessment:
        """Apply the activity to the lead and judge the lead as of its latest activity. Raises `Rejected` if the rules
        do not accept the activity from its source (`admit`)."""
        if activity.type in self._restricted:
            self.admit(activity)
        after = lead.apply(activity, self._hits.of(activity), self.kept_facts)
        if after is lead:
            return Assessment(lead)
        notes = after.notes
        if not isinstance(notes, Notes) or notes.facts is not after.facts:
            after = self.annotated(after)
        if after.was_returned_by(activity):
            after = after.with_rules_at_return(self._rules_that_hold(after))
        return self.reassess(after, after.clock, "activity", activity)

    def admit(self, activity: LeadActivity) -> None:
        """Raises `Rejected` if the `allowed_sources` of the rules refuse the activity. `assess` does this itself."""
        for restriction in self._restricted.get(activity.type, ()):
            restriction.check(activity)

    def reassess(
        self,
        lead: Lead,
        now: int,
        cause: Cause,
        activity: LeadActivity | None = None,
        *,
        changes_only: bool = False,
    ) -> Assessment:
        """Judge the lead as of `now`, and publish a decision if the ruleset's `publish` says so. With `changes_only`
        only a change is published, whatever `publish.on` says."""
        evaluation = self.evaluate(lead, now)
        if not self._is_worth_publishing(lead.published, evaluation, changes_only=changes_only):
            return Assessment(lead, evaluation)
        routing, standing = evaluation.routing, evaluation.standing
        published = Published(standing.rating, standing.grade, routing.route, routing.queue, standing.score, now)
        effects: tuple[Effect, ...] = (Decided(decision(evaluation, self._templates, cause, activity)),)
        after = lead.publish(published)
        if lead.is_handed_over_by(routing.route):
            within = routing.respond_within
            effects = (*effects, HandedOver(routing.queue, None if within is None else now + within))
            after = self.annotated(after)
        return Assessment(after, evaluation, effects)

    def evaluate(self, lead: Lead, now: int) -> Evaluation:
        """Score, rate, grade and route the lead as of `now`."""
        tables, notes = self._tables, lead.notes
        if not isinstance(notes, Notes) or notes.facts is not lead.facts or notes.mark != tables.mark:
            notes = self._notes_about(lead)
        times = notes.times
        if times is None:
            times = notes.times = tables.times(lead.facts)
        result: CriteriaResult
        if now != lead.clock:
            result = tables.result(tables.vector(notes.codes, times, lead.clock, now))
        elif notes.result is not None and notes.since <= now < notes.until:
            result = notes.result
        else:
            result = notes.result = tables.result(tables.vector(notes.codes, times, now, now))
            notes.since, notes.until = now, tables.valid_until(times, now)
        today = now // DAY
        points_by_signal: dict[str, int] = {}
        engagement = 0
        signals, worth = self._signals, notes.worth
        for name, counts in lead.counted.items():
            known = worth.get(name)
            if known is None or known[0] is not counts or not known[2] <= today < known[3]:
                signal = signals.get(name)
                if signal is None:  # a signal of other rules
                    continue
                known = worth[name] = signal.worth(counts, today, known)
            points = known[1]
            if points:
                points_by_signal[name] = points
                engagement += points
        published = lead.published
        returned = tables.returned_at(times) if times else None
        since_return = None
        if returned is not None:
            since_return = self._points_since_return(lead, result, points_by_signal, now, returned)
        before = None if published is None else published.rating
        asked = map(points_by_signal.get, self._routing.asked_signals)
        standing, rule = self._routing.result(result, (engagement, before, since_return, *asked))
        if lead.erased_at is not None and lead.is_erased:
            rule = ERASED
        elif result.is_merged:
            rule = MERGED
        return Evaluation(lead, self.ruleset, now, result, points_by_signal, standing, rule)

    def explain(self, evaluation: Evaluation) -> list[Contribution]:
        """Every point and its reason, the strongest first. The points add up to the total score."""
        return contributions(evaluation)

    def routing_facts(self, evaluation: Evaluation) -> Mapping[str, object]:
        """Every field that routing rules can use: the facts of the lead and the routing facts."""
        lead, ruleset = evaluation.lead, self.ruleset
        returned = lead.facts.get(RETURNED)
        since_return = None
        if returned is not None:
            since_return = self._points_since_return(
                lead, evaluation.criteria_result, evaluation.signal_points, evaluation.now, returned.stamp.time
            )
        before = None if lead.published is None else lead.published.rating
        points = {result.criterion.name: result.points for result in evaluation.criteria}
        signals = {**dict.fromkeys(ruleset.signals, 0), **evaluation.signal_points}
        given = RoutingInput(
            criteria_input(ruleset, evaluation.score.fit, points),
            behaviour_input(ruleset, evaluation.score, before, since_return, signals),
        )
        return {**evaluation.facts, **{fact.name: value_of(fact, given) for fact in routing_facts_of(ruleset)}}

    def hits(self, activity: LeadActivity) -> Sequence[Hit]:
        """The signals that count the activity."""
        return self._hits.of(activity)

    def rules_matching(self, criterion: Criterion, facts: Mapping[str, object]) -> tuple[ScoringRule, ...]:
        """The matching rules of a criterion for these facts, which are given by field name."""
        table = self._tables.tables[criterion.name]
        return tuple(criterion.rules[index] for index in self._engine.match(table, table.encode(facts)))

    def codes(self, criterion: Criterion, facts: Mapping[str, object]) -> tuple[int, ...]:
        """The codes of these facts for a criterion. Facts with equal codes give equal points."""
        return self._tables.tables[criterion.name].encode(facts)

    def annotated(self, lead: Lead) -> Lead:
        """The lead with notes of this evaluator about its facts. They save work when it is judged again."""
        return lead.with_notes(self._notes_about(lead))

    def trimmed(self, lead: Lead) -> Lead:
        """The lead without custom facts and counts of signals that neither the ruleset nor `keeps` and `keeps_signals`
        name; the same object if it has none. Such names are left over from earlier rules, and no rule can read them."""
        facts = {name: fact for name, fact in lead.facts.items() if is_kept(name, self.kept_facts)}
        counted = {name: counts for name, counts in lead.counted.items() if name in self._kept_signals}
        same_facts, same_counts = len(facts) == len(lead.facts), len(counted) == len(lead.counted)
        if same_facts and same_counts:
            return lead
        return self.annotated(replace(lead, facts=lead.facts if same_facts else Facts(facts), counted=counted))

    def prepare(self) -> Iterator[None]:
        """Prepare the engine in small steps, so that no activity has to wait for it."""
        return self._tables.prepare()

    def _notes_about(self, lead: Lead) -> Notes:
        tables, known, facts = self._tables, lead.notes, lead.facts
        if not isinstance(known, Notes) or known.mark != tables.mark:
            return Notes(tables.mark, facts, tables.encode_facts(facts), tables.times(facts))
        if known.facts is facts:
            return known
        before = known.facts.known if isinstance(known.facts, Facts) else known.facts
        after = facts.known if isinstance(facts, Facts) else facts
        is_erased = not before.keys() <= after.keys()
        codes = tables.encode_facts(after) if is_erased else tables.encode_changes(known.codes, before, after)
        return Notes(tables.mark, facts, codes, tables.times(after), known.worth)

    def _rules_that_hold(self, lead: Lead) -> tuple[str, ...]:
        criteria = self.evaluate(lead, lead.clock).criteria
        return tuple(sorted(rule.id for result in criteria for rule in result.rules))

    def _points_since_return(
        self, lead: Lead, criteria: CriteriaResult, points_by_signal: Mapping[str, int], now: int, returned: int
    ) -> int:
        """The points from evidence that sales did not have when it returned the lead on `day`.

        A rule counts if it did not hold then, so that a repeated answer is not new evidence. A signal counts from the
        day after the return, because counts are kept per day.
        """
        today, day = now // DAY, returned // DAY
        rules = (
            rule.points for result in criteria.criteria for rule in result.rules if rule.id not in lead.rules_at_return
        )
        signals = self.ruleset.signals
        behaviour = (signal_points(signals[name], lead.counted[name], today, day) for name in points_by_signal)
        return sum(rules) + sum(behaviour)

    def _is_worth_publishing(self, last: Published | None, evaluation: Evaluation, *, changes_only: bool) -> bool:
        publishing = self.ruleset.publishing
        if last is None or (publishing.always and not changes_only):
            return True
        routing = evaluation.routing
        score, rating, grade, _ = evaluation.standing
        if last.rating is not rating or last.route is not routing.route or last.queue != routing.queue:
            return True
        if last.grade != grade:
            return True
        (fit, engagement), before = score, last.score
        return abs(fit + engagement - before.fit - before.engagement) >= publishing.score_step
