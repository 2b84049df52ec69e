"""Judges leads by rules. The service, `scorer score`, rule tests and backtests all use `Evaluator`, so that a result
offline is the result in production.

No clock and no I/O. Deterministic: equal input gives equal results, whatever was evaluated before. It keeps caches.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType

import msgspec

from scorer.domain.activity import LISTING, LeadActivity
from scorer.domain.counts import Hit
from scorer.domain.decision import Contribution
from scorer.domain.effects import Decided, Deleted, Effect, Escalated, HandedOver
from scorer.domain.enrichment import is_enrichment
from scorer.domain.facts import Facts
from scorer.domain.instant import DAY
from scorer.domain.lead import NEVER, NO_CLOCK, Lead, Published
from scorer.domain.score import Route
from scorer.domain.statements import RETURNED, is_kept
from scorer.domain.unfitting import Drop
from scorer.engines.engine import RuleEngine
from scorer.evaluation.allowed_sources import restrictions
from scorer.evaluation.categories import Categories
from scorer.evaluation.contributions import Cause, ContributionTemplates, contributions, decision
from scorer.evaluation.criteria import CriteriaTables
from scorer.evaluation.kept_facts import Unfitting, unfitting, value_readers
from scorer.evaluation.notes import MARK_SIZE, Notes
from scorer.evaluation.promises import passed, place, promise_of, promised, status_changes
from scorer.evaluation.results import Assessment, CriteriaResult, Evaluation
from scorer.evaluation.retention import Deletion, deletion
from scorer.evaluation.routing import ERASED, MERGED, RoutingTable, behaviour_input, criteria_input
from scorer.evaluation.rule_change import RuleChange, numbered
from scorer.evaluation.signal_points import FOREVER, SignalHits, SignalPoints, signal_points
from scorer.evaluation.silence import MOST_STEPS, Due, Silence
from scorer.rules.catalogue import Catalogue
from scorer.rules.routing_facts import RoutingInput, routing_facts_of, value_of
from scorer.rules.ruleset import Criterion, Ruleset, ScoringRule


class Evaluator:
    """Judges leads by one ruleset. It owns everything that is compiled or remembered, apart from the notes in
    `Lead.notes`, which only evaluators read. Instants are microseconds since the epoch.

    Leads keep the custom facts that the ruleset declares, and those of `keeps`: the own fields of other rules that
    judge the same leads. A value must fit the field as the ruleset declares it; if only `keeps` has the field, as that
    does. `keeps_signals` are the signals of those rules.
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
        self._hits = SignalHits([*ruleset.signals.values(), *ruleset.lifecycle.actions.values()])
        self._categories = Categories(ruleset.lifecycle.categories, self.routing_facts)
        self._has_categories = bool(ruleset.lifecycle.categories)
        self._signals = {signal.id: SignalPoints(signal) for signal in ruleset.signals.values()}
        self._templates = ContributionTemplates(ruleset)
        self._tolerance = ruleset.tolerance
        self._retention = ruleset.retention
        self._shortest_retention = NEVER if ruleset.retention.shortest is None else ruleset.retention.shortest
        self._silence = Silence(ruleset, self._tables, self._routing, self._signals, self.evaluate, self._is_change)
        self.mark = blake2b(ruleset.revision.encode(), digest_size=MARK_SIZE).digest()
        """Identifies these rules in `Lead.judged_by`."""
        self._restricted = restrictions(ruleset.allowed_sources)
        self._sets_aside = ruleset.sets_unfitting_aside
        self.kept_facts = value_readers(ruleset.own_fields, keeps)
        """The custom facts that leads keep, for `Lead.apply`."""
        self._kept_names = frozenset(self.kept_facts)
        self._kept_signals = frozenset(_counted(ruleset)).union(keeps_signals)

    def keeping(self, keeps: Catalogue, keeps_signals: Collection[str]) -> "Evaluator":
        """An evaluator of the same ruleset with other `keeps`. Both share everything compiled and remembered."""
        other = copy(self)
        ruleset = self.ruleset
        vars(other).update(
            kept_facts=value_readers(ruleset.own_fields, keeps),
            _kept_names=frozenset([*ruleset.own_fields, *keeps]),
            _kept_signals=frozenset(_counted(ruleset)).union(keeps_signals),
        )
        return other

    def assess(
        self, lead: Lead, activity: LeadActivity, arrival: int | None = None, change: RuleChange | None = None
    ) -> Assessment:
        """Do the lead's reviews that are due when the activity arrives (`catch_up`), apply the activity, and judge the
        lead as of its arrival, or as of the latest instant as of which the lead was judged, if that is later. If the
        lead is due to be deleted by then, the activity is the first one of a new lead. Raises `Rejected` if the rules
        do not accept the activity (`admit`).

        `arrival`: microseconds since the epoch; None for a file, where an activity arrives at its own time. The
        activity counts as of its own time, but at most the ruleset's tolerance after the arrival.
        """
        if self._sets_aside or activity.type in self._restricted:
            self.admit(activity)
        if arrival is None:
            arrival = activity.time
        elif activity.time > arrival + self._tolerance:
            activity = msgspec.structs.replace(activity, time=arrival + self._tolerance)
        earlier: tuple[Effect, ...] = ()
        reviewed: tuple[Evaluation, ...] = ()
        if lead.due <= arrival or lead.judged_by != self.mark or (change is not None and lead.judged_at < change.since):
            caught_up = self.catch_up(lead, arrival, change)
            lead, earlier, reviewed = caught_up.lead, caught_up.effects, caught_up.reviewed
        after = lead.apply(activity, self._hits.of(activity), self.kept_facts, arrival, self._tolerance)
        has_same_facts = after.facts is lead.facts
        steps: tuple[Effect, ...] = ()
        if after.lifecycle is not lead.lifecycle:
            steps = passed(lead, after, activity)
        elif has_same_facts and after.clock == lead.clock and after.counted is lead.counted:
            return Assessment(after, None, earlier, len(earlier), reviewed)
        notes = after.notes
        if not isinstance(notes, Notes) or notes.facts is not after.facts:
            after = self.annotated(after)
        if after.was_returned_by(activity):
            after = after.with_rules_at_return(self._rules_that_hold(after))
        assessment = self.reassess(after, after.judged_at, "activity", activity, arrival)
        if self._has_categories and not has_same_facts and not assessment.effects:
            self._categorise(assessment)
        if earlier or steps:
            effects = (*earlier, *steps, *assessment.effects)
            return Assessment(assessment.lead, assessment.evaluation, effects, len(earlier), reviewed)
        return assessment

    def admit(self, activity: LeadActivity) -> None:
        """Raises `Rejected` if the `allowed_sources` of the rules refuse the activity, and `Unfitting` if it has keys
        that do not fit and the rules set such an activity aside. `assess` does this itself."""
        for restriction in self._restricted.get(activity.type, ()):
            restriction.check(activity)
        if self._sets_aside and (drops := self.unfitting(activity)):
            raise Unfitting(drops)

    def unfitting(self, activity: LeadActivity) -> Sequence[Drop]:
        """What of the activity does not fit the contract or the own fields, so that it is not kept: at most one for
        each field and reason."""
        if not activity.dropped and activity.type not in LISTING:
            return ()
        return unfitting(activity, self.kept_facts, self._kept_names)

    def reassess(
        self,
        lead: Lead,
        now: int,
        cause: Cause,
        activity: LeadActivity | None = None,
        arrival: int | None = None,
        *,
        changes_only: bool = False,
    ) -> Assessment:
        """Judge the lead as of `now`, and publish a decision if the ruleset's `publish` says so. With `changes_only`
        only a change is published, whatever `publish.on` says. `arrival`: that of the activity, by default `now`."""
        evaluation = self.evaluate(lead, now)
        promise = lead.promise
        if promise is not None and evaluation.routing.route is not Route.SALES:
            promise = None
        # One level at a time, and never by the clock of a sender that is ahead: the next one is up to a review.
        is_escalated = promise is not None and promise.due <= (now if arrival is None else arrival)
        if promise is not None and is_escalated:
            promise = msgspec.structs.replace(promise, level=promise.level + 1)
            evaluation.routing = promised(evaluation.routing, promise)
        if not is_escalated and not self._is_worth_publishing(lead.published, evaluation, changes_only=changes_only):
            if activity is not None:
                # The lead is new, so nobody else has it yet.
                lead.due, lead.judged_by = self._bound(lead, evaluation.until), self.mark
            return Assessment(lead, evaluation)
        routing, standing = evaluation.routing, evaluation.standing
        published = Published(standing.rating, standing.grade, routing.route, routing.queue, standing.score, now)
        # Later events about what sales does with the lead have times of their own, which may be before the arrival. An
        # enrichment has none: its time is that of a profile.
        since = now if activity is None or is_enrichment(activity) else lead.clock
        is_handed_over = lead.is_handed_over_by(routing.route)
        if is_handed_over:
            # The clock of a sender that is ahead must not make the answer of sales older than the hand-over.
            since = place(lead, since if arrival is None else min(since, arrival))
            promise = promise_of(routing, self.ruleset.calendar, since, now)
        after = lead.publish(published, since, promise)
        status = after.status if self.ruleset.lifecycle.is_written else None
        decided = decision(evaluation, self._templates, cause, activity, promise, status)
        effects: tuple[Effect, ...] = (Decided(decided),)
        if is_handed_over:
            effects = (*effects, HandedOver(routing.queue, None if promise is None else promise.respond_by))
        if promise is not None and is_escalated:
            effects = (*effects, Escalated(routing.queue, promise.level))
        due = evaluation.until
        if after.facts is not lead.facts:
            effects = (*effects, *status_changes(lead, after))
            after = self.annotated(after)
            if not _is_judged_alike(lead, after):
                due = self.evaluate(after, now).until
        after.due, after.judged_by = self._bound(after, due), self.mark
        assessment = Assessment(after, evaluation, effects)
        if self._has_categories:
            self._categorise(assessment)
        return assessment

    def _categorise(self, assessment: Assessment) -> None:
        """Write down the category of a lead that nobody else has yet."""
        lead, evaluation = assessment.lead, assessment.evaluation
        assert evaluation is not None
        category = self._categories.of(lead, evaluation)
        if lead.lifecycle is None or category != lead.lifecycle.category:
            lead.lifecycle = msgspec.structs.replace(lead.known_lifecycle(), category=category)

    def _bound(self, lead: Lead, until: int) -> int:
        """Before this instant nothing changes: points and rules until `until`, no promise is escalated, and the lead is
        not deleted."""
        if (promise := lead.promise) is not None:
            until = min(until, promise.due)
        if until > lead.seen_at + self._shortest_retention:
            return min(until, deletion(lead, self._retention).instant)
        return until

    def due(self, lead: Lead, change: RuleChange | None = None) -> int:
        """The lower bound of the lead's next due instant: time alone changes nothing that is published before it, and
        does not delete the lead. `NEVER` if it never will. Costs nothing."""
        if lead.judged_by == self.mark and (change is None or change.since <= lead.judged_at):
            return lead.due
        if lead.published is None or (change is None or not self.ruleset.rescoring.wanted):
            return self.deletion(lead, change).instant
        return min(max(lead.judged_at, change.since), self.deletion(lead, change).instant)

    def deletion(self, lead: Lead, change: RuleChange | None = None) -> Deletion:
        """When the lead is deleted unless it has an activity before, and why (`retention` of the rules). Not before the
        change of rules. Without `change`, a lead that other rules have judged waits for its next activity."""
        if change is None:
            return deletion(lead, self._retention) if lead.judged_by == self.mark else Deletion(NEVER)
        instant, reason = deletion(lead, self._retention)
        return Deletion(max(instant, change.since), reason)

    def refine(self, lead: Lead, until: int = NEVER, change: RuleChange | None = None, steps: int = MOST_STEPS) -> Due:
        """The lead's next due instant, if it is at most `until`, or a better lower bound of it. It takes at most about
        `steps` evaluations. For a lead that these rules have not judged, they are as they would be after `rescore`.
        The instant at which the lead is deleted is a due instant, too."""
        end = self.deletion(lead, change).instant
        after = self._judged_until(lead, change)
        if after is None or after >= end:
            return Due(end, certain=True)
        found = self._first_change(lead, after, min(until, end - 1), steps)
        return found if found.instant < end else Due(end, certain=True)

    def review(self, lead: Lead, at: int) -> Assessment:
        """Judge the lead as of its due instant `at`. A decision has the cause `time`. Without one, the lead is the same
        object: a review that changes nothing leaves no trace. Deletions are up to `catch_up`."""
        return self.reassess(lead, at, "time", changes_only=True)

    def catch_up(self, lead: Lead, until: int, change: RuleChange | None = None) -> Assessment:
        """The lead after all its reviews that are due at `until` or before, in order, and their effects. It is the same
        object if they change nothing. If the lead is deleted by then, it is one of which nothing is known, and the last
        effect says so.

        `change`: the change of rules by which these rules took effect; None if they always were. A lead that was last
        judged before it is re-scored first, and no review is before it. Without `change`, a lead that other rules have
        judged waits for its next activity.
        """
        effects: list[Effect] = []
        evaluations: list[Evaluation] = []
        known = lead.published is not None
        end = Deletion(NEVER)
        if until >= lead.seen_at + self._shortest_retention:
            end = self.deletion(lead, change)
        last = min(until, end.instant - 1)
        if known and change is not None and self.ruleset.rescoring.wanted and self._is_unscored(lead, change):
            rescored = self.rescore(lead, change)
            lead = rescored.lead
            effects += rescored.effects
        while (after := self._judged_until(lead, change)) is not None:
            if after >= last or (lead.judged_by == self.mark and lead.due > last and after == lead.judged_at):
                break
            due = self._first_change(lead, after, last, MOST_STEPS)
            if not due.certain or due.instant > last:
                break
            reviewed = self.review(lead, due.instant)
            lead = reviewed.lead
            effects += reviewed.effects
            if reviewed.evaluation is not None:
                evaluations.append(reviewed.evaluation)
        if end.instant <= until:
            lead = Lead(lead.id)
            effects.append(Deleted(end.reason, end.instant))
        return Assessment(lead, None, tuple(effects), len(effects), tuple(evaluations))

    def rescore(self, lead: Lead, change: RuleChange) -> Assessment:
        """Judge the lead by these rules as of the change, or as of the latest instant as of which it was judged, if
        that is later. There is no evaluation if the lead was erased or merged, is due to be deleted, or if nothing is
        known about it.

        There is a decision if rating, grade, route or queue differ from the last published ones or if the score moved
        by `score_step`, whatever `publish.on` says. The number of the change goes into the id of the decision, because
        rules that are reverted and then restored may decide a second time about the same lead and instant.
        """
        if lead.clock == NO_CLOCK or lead.is_erased or lead.value("lifecycle.merged_into") is not None:
            return Assessment(lead)
        if self.deletion(lead, change).instant <= change.since:
            return Assessment(lead)
        assessment = self.reassess(lead, max(lead.judged_at, change.since), "rules_changed", changes_only=True)
        effects = tuple(numbered(effect, change.number) for effect in assessment.effects)
        return Assessment(assessment.lead, assessment.evaluation, effects)

    def evaluate(self, lead: Lead, now: int) -> Evaluation:
        """Score, rate, grade and route the lead as of `now`."""
        tables, notes = self._tables, lead.notes
        if not isinstance(notes, Notes) or notes.facts is not lead.facts or notes.mark != tables.mark:
            notes = self._notes_about(lead)
        times = notes.times
        if times is None:
            times = notes.times = tables.times(lead.facts)
        result: CriteriaResult
        clock = lead.clock
        if (
            notes.result is not None
            and notes.since <= now < notes.until
            and notes.idle_since <= now - clock < notes.idle_until
        ):
            result = notes.result
        else:
            result = notes.result = tables.result(tables.vector(notes.codes, times, clock, now))
            notes.since, notes.until = now, tables.valid_until(times, now)
            notes.idle_since, notes.idle_until = tables.idle(now - clock)
        until = notes.until
        if clock + notes.idle_until < until:
            until = clock + notes.idle_until
        today = now // DAY
        if today < notes.day:
            notes.worth = {}
        notes.day = today
        changes_on = FOREVER
        points_by_signal: dict[str, int] = {}
        engagement = 0
        signals, worth = self._signals, notes.worth
        for name, counts in lead.counted.items():
            known = worth.get(name)
            if known is None or known[0] is not counts or (until_day := known[3]) <= today:
                signal = signals.get(name)
                if signal is None:  # a signal of other rules
                    continue
                known = worth[name] = signal.worth(counts, today, known)
                until_day = known[3]
            if until_day < changes_on:
                changes_on = until_day
            if points := known[1]:
                points_by_signal[name] = points
                engagement += points
        published = lead.published
        returned = tables.returned_at(times) if times else None
        since_return = None
        if returned is not None:
            since_return = self._points_since_return(lead, result, points_by_signal, now, returned)
            if changes_on < FOREVER:
                changes_on = today + 1  # the points since the return may change on another day than all points
        if changes_on * DAY < until:
            until = changes_on * DAY
        before = None if published is None else published.rating
        asked = map(points_by_signal.get, self._routing.asked_signals)
        standing, rule = self._routing.result(result, (engagement, before, since_return, *asked))
        if lead.erased_at is not None and lead.is_erased:
            rule, until = ERASED, NEVER
        elif result.is_merged:
            rule, until = MERGED, NEVER
        elif (promise := lead.promise) is not None:
            rule = promised(rule, promise)
        return Evaluation(lead, self.ruleset, now, result, points_by_signal, standing, rule, until)

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
        return Notes(tables.mark, facts, codes, tables.times(after), known.day, dict(known.worth))

    def _rules_that_hold(self, lead: Lead) -> tuple[str, ...]:
        criteria = self.evaluate(lead, lead.judged_at).criteria
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

    def _first_change(self, lead: Lead, after: int, until: int, steps: int) -> Due:
        notes = lead.notes
        if not isinstance(notes, Notes) or notes.facts is not lead.facts or notes.mark != self._tables.mark:
            lead = self.annotated(lead)  # once, not for each instant
        promise = lead.promise
        if promise is None or promise.due >= NEVER:
            return self._silence.first_change(lead, after, until, steps)
        # A level that is due before the lead was judged last, by a sender that is ahead, comes right after that.
        due = promise.due if promise.due >= after else after + 1
        found = self._silence.first_change(lead, after, min(until, due - 1), steps)
        # Also beyond `until`, because nobody asks again before the bound.
        return found if found.instant < due else Due(due, certain=due <= until)

    def _judged_until(self, lead: Lead, change: RuleChange | None) -> int | None:
        """The instant after which reviews of the lead may be due; None if there are none before its next activity."""
        if lead.published is None:
            return None
        if change is None:
            return lead.judged_at if lead.judged_by == self.mark else None
        if not self.ruleset.rescoring.wanted and self._is_unscored(lead, change):
            return None
        return max(lead.judged_at, change.since)

    def _is_unscored(self, lead: Lead, change: RuleChange) -> bool:
        """Whether the lead was last judged before the change of rules, or by other rules."""
        return lead.judged_by != self.mark or lead.judged_at < change.since

    def _is_change(self, last: Published, evaluation: Evaluation) -> bool:
        return self._is_worth_publishing(last, evaluation, changes_only=True)

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


def _counted(ruleset: Ruleset) -> Iterator[str]:
    """The names under which leads count activities by these rules."""
    yield from ruleset.signals
    yield from ruleset.lifecycle.actions


def _is_judged_alike(lead: Lead, changed: Lead) -> bool:
    """Whether the rules see the same in both leads. Then the notes of the second one remember the same result."""
    before, after = lead.notes, changed.notes
    if not isinstance(before, Notes) or not isinstance(after, Notes) or before.facts is not lead.facts:
        return False
    if before.mark != after.mark or before.codes != after.codes or before.times != after.times:
        return False
    after.remember(before)
    return True
