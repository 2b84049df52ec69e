"""The composition root: it makes the parts of a running service from settings and rules."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from scorer.contracts.asyncapi import asyncapi
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.engines.engine import MemoEngine, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.figures.contributions import queues_of
from scorer.kafka.access import missing
from scorer.kafka.client_internals import (
    report_refused_logins,
    request_rejoin,
    tolerate_former_topics,
    tolerate_header_names,
)
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.sign_in import refused_because
from scorer.lint import too_large
from scorer.offline.ruleset_files import load_ruleset, read_rule_files
from scorer.rules.finding import RulesetError
from scorer.rules.loader import parse_with_source
from scorer.rules.ruleset import Ruleset
from scorer.runtime.audit import Audit
from scorer.runtime.company_metrics import CompanyMetrics
from scorer.runtime.memory_limit import memory_limit
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.runtime.spans import Spans
from scorer.runtime.token_bucket import TokenBucket
from scorer.service.api import Api, Sources
from scorer.service.api_access import Access
from scorer.service.http import build_asgi
from scorer.service.lead_explanations import LeadExplanations
from scorer.service.mappings_reload import MappingsAudit, MappingsReloader, mappings_fingerprint
from scorer.service.reload import Reload, Reloader
from scorer.service.rules_reload import RulesAudit, RulesReloader, SizeLimit, ruleset_fingerprint
from scorer.service.sources import source_names, sources_in
from scorer.sources.source import Source
from scorer.state.store import LeadStore
from scorer.stream.access_watch import AccessWatch
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer
from scorer.stream.companies import Companies
from scorer.stream.company_topic import CompanyTopic
from scorer.stream.jobs.enrichments import Enrichments
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.key_figures import KeyFigures
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.jobs.review import Reviews
from scorer.stream.jobs.ticks import Ticks
from scorer.stream.partitions import Partitions
from scorer.stream.shadow import Shadow
from scorer.stream.source_worker import SourceContext
from scorer.stream.subscriber import Subscription
from scorer.stream.translation import Translator
from scorer.stream.watch import Watch
from scorer.stream.worker import WorkerContext

log = structlog.get_logger()


@dataclass(slots=True)
class LiveRules:
    """The rules in effect, when they took effect (seconds since the epoch), and how the last reload ended. The leads
    also keep what the rules beside them, `shadow`, name."""

    evaluator: Evaluator
    loaded_at: float
    shadow: Ruleset | None = None
    last_reload: Reload | None = None
    last_shadow_reload: Reload | None = None

    def use(self, evaluator: Evaluator, shadow: Ruleset | None) -> None:
        """Judge by this evaluator, with these rules beside it."""
        self.shadow = shadow
        self.evaluator = evaluator if shadow is None else evaluator.keeping(shadow.own_fields, shadow.signals)

    @property
    def ruleset(self) -> Ruleset:
        """The rules in effect."""
        return self.evaluator.ruleset

    def details(self) -> Mapping[str, object]:
        """Details for people."""
        last = None if self.last_reload is None else self.last_reload.details()
        loaded_at = to_text(round(self.loaded_at) * 1_000_000)
        return {"revision": self.ruleset.revision, "loaded_at": loaded_at, "last_reload": last}

    def rulesets(self) -> Mapping[str, object]:
        """Both rulesets, for `GET /ruleset`."""
        rules = {"name": self.ruleset.name, "engine": self.evaluator.engine_name, **self.details()}
        if self.shadow is None:
            return {"rules": rules, "shadow": None}
        last = None if self.last_shadow_reload is None else self.last_shadow_reload.details()
        shadow = {"name": self.shadow.name, "revision": self.shadow.revision, "last_reload": last}
        return {"rules": rules, "shadow": shadow}


@dataclass(slots=True)
class Service:
    """The parts of the service, connected but not started."""

    settings: Settings
    rules: LiveRules
    reloaders: tuple[RulesReloader, ...]
    mappings: MappingsReloader | None
    metrics: Metrics
    partitions: Partitions
    subscription: Subscription
    committer: Committer
    limits: TopicLimits
    access: AccessWatch
    audit: Audit
    spans: Spans | None
    company_topic: CompanyTopic | None = None
    trouble: str | None = None

    def live(self) -> tuple[bool, Mapping[str, object]]:
        """False if only a restart helps."""
        if self.trouble is not None:
            return False, {"status": "dead", "reason": self.trouble}
        return True, {"status": "live"}

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """False while activities are not being processed."""
        ready, details = self.partitions.ready()
        denied = self.access.trouble()
        if denied:
            ready, details = False, {**details, **denied, "status": "access denied"}
        if self.company_topic is not None:
            details = {**details, "companies": self.company_topic.details()}
        rules = {"name": self.ruleset.name, "revision": self.ruleset.revision}
        details = {**details, "ruleset": rules, "rules": self.rules.details()}
        if self.mappings is not None:
            last = self.mappings.last
            details["mappings"] = {"last_reload": None if last is None else last.details()}
        return ready and self.trouble is None, details

    @property
    def ruleset(self) -> Ruleset:
        """The rules in effect."""
        return self.rules.ruleset

    def reload(self, why: str) -> None:
        """Check whether the rules or the mappings changed, and use them if they are fine."""
        if self.settings.reload == "off":
            log.warning("reload_is_off", why=why)
            return
        for reloader in self.watching:
            reloader.request(why)

    @property
    def watching(self) -> list[Reloader]:
        """All that follows files on disk."""
        return [*self.reloaders, *([] if self.mappings is None else [self.mappings])]


def build(settings: Settings, context: dict[str, object] | None = None) -> Service:
    """Load the rules and connect everything. `context` gets the `revision`, now and after every reload. Raises
    `RulesetError`, `SettingsError`, `EngineUnavailableError`, or `AuditError` if the audit log cannot be written."""
    tolerate_header_names()
    tolerate_former_topics()
    engine = default_engine(settings.engine)
    known = ruleset_fingerprint(settings.rules)
    metrics = Metrics()
    audit = Audit(settings, metrics.audit_failed)
    live_audit = RulesAudit(audit, "live", settings.rules, settings.rules_source_file)
    live = LiveRules(Evaluator(_load(settings, live_audit), engine), time.time())
    # The shadow takes effect later. What it declares must be kept from the first activity on, also after a restart.
    live.use(live.evaluator, None if settings.shadow_rules is None else _readable(settings.shadow_rules))
    metrics.rules_loaded(True, live.loaded_at)
    metrics.service(settings.group, settings.activity_topic)
    metrics.memory_limit(memory_limit())

    def judge(lead: Lead, activity: LeadActivity, arrival: int | None, change: RuleChange | None) -> Assessment:
        return live.evaluator.assess(lead, activity, arrival, change)

    def trim(lead: Lead) -> Lead:
        return live.evaluator.trimmed(lead)

    def announce() -> None:
        ruleset = live.ruleset
        types = {signal.activity for signal in ruleset.signals.values()}
        queues, stages = queues_of(ruleset), ruleset.lifecycle.phases
        metrics.ruleset(ruleset.name, ruleset.revision, live.evaluator.engine_name, types, queues, stages)
        if context is not None:
            context["revision"] = ruleset.revision[:12]

    def adopt(evaluator: Evaluator) -> None:
        live.use(evaluator, live.shadow)
        live.loaded_at = time.time()
        announce()
        partitions.rules_changed()

    def report(done: Reload) -> None:
        live.last_reload = done
        metrics.reloaded(done.outcome, done.at)

    limits = TopicLimits(settings)
    shadow = None if settings.shadow_rules is None else Shadow(settings, limits=limits)
    processor = BatchProcessor(
        settings,
        judge,
        _microseconds,
        shadow,
        trim=trim,
        limits=limits,
        unfitting=lambda activity: live.evaluator.unfitting(activity),
    )
    pace, reading, comparing = (TokenBucket(time.monotonic) for _ in range(3))
    companies = Companies(settings.company_profiles)
    company_metrics = None if settings.company_topic is None else CompanyMetrics(metrics.registry)
    rescorer = Rescorer(
        settings, lambda: live.evaluator, _microseconds, pace, time.monotonic, trim=trim, limits=limits, shadow=shadow
    )

    def jobs(store: LeadStore, partition: int) -> list[Job]:
        # The sweep is first, because it knows since when the rules have been in effect.
        sweep, reviews = Sweep(rescorer, store, partition), Reviews(rescorer, store, partition)
        ticks = Ticks(settings, reviews, store, partition, _microseconds, time.monotonic, lambda: no_ticks() is None)
        found: list[Job] = [sweep, reviews, ticks, KeyFigures(lambda: live.evaluator, store, partition, reading)]
        if company_metrics is not None:
            found.append(
                Enrichments(
                    rescorer,
                    companies,
                    company_metrics,
                    store,
                    partition,
                    comparing,
                    lambda: partitions.caught_up(partition),
                    lambda: not watch.is_clock_off,
                )
            )
        return found

    def no_ticks() -> str | None:
        if settings.tick_seconds == 0:
            return "SCORER_TICK_SECONDS is 0"
        return "the clock of this machine is wrong" if watch.is_clock_off else access.no_ticks

    watch = Watch(settings, metrics)

    def suspicious() -> bool:
        ready, details = partitions.ready()
        return not ready or not details["partitions"] or bool(partitions.missing_topics())

    def rejoin() -> None:
        # A member that was refused has stopped its heartbeats.
        if subscription.consumer is not None:
            request_rejoin(subscription.consumer)

    access = AccessWatch(settings, lambda: missing(settings), suspicious, rejoin, lambda: refused_because(settings))
    report_refused_logins(access.login_refused)
    committer = Committer(settings, limits, metrics, access)
    spans = Spans(settings) if settings.tracing == "on" else None
    known_mappings = mappings_fingerprint(settings.rules)
    first_sources, source_files = sources_in(settings)
    translators: dict[str, Translator] = {}

    def translate(sources: Mapping[str, Source]) -> None:
        for topic, name in settings.source_topics.items():
            translators[topic] = Translator(sources[name], settings, _microseconds, limits)

    translate(first_sources)
    metrics.sources.known(first_sources)
    sources = SourceContext(
        settings, translators, committer, metrics, watch, access, limits, lambda: partitions.behind, spans
    )
    workers = WorkerContext(settings, processor, committer, metrics, jobs, lambda: live.evaluator, watch, access, spans)
    partitions = Partitions(workers, no_ticks, sources if translators else None)
    company_topic = None
    if settings.company_topic is not None and company_metrics is not None:
        company_topic = CompanyTopic(
            settings, settings.company_topic, companies, company_metrics, access, partitions.companies_changed
        )
    size_limit = SizeLimit(settings.max_record_bytes, lambda: None if shadow is None else shadow.ruleset)
    mappings = None
    if translators:
        mappings_audit = MappingsAudit(audit, settings.rules, settings.rules_source_file)
        mappings_audit.in_effect(source_files, mappings_audit.source(), "start")
        mappings = MappingsReloader(
            settings.rules,
            source_names(settings),
            source_files,
            translate,
            lambda done: metrics.sources.reloaded(done.outcome),
            known_mappings,
            mappings_audit,
        )
    reloaders = [
        RulesReloader(
            "rules",
            settings.rules,
            engine,
            settings.engine,
            lambda: live.ruleset,
            adopt,
            report,
            known,
            size_limit,
            live_audit,
        )
    ]
    if shadow is not None and settings.shadow_rules is not None:
        size_limit = SizeLimit(settings.max_record_bytes, lambda: live.ruleset)
        shadow_audit = RulesAudit(audit, "shadow", settings.shadow_rules, settings.rules_source_file)
        reloaders.append(
            _shadow_reloader(settings, settings.shadow_rules, engine, shadow, live, metrics, size_limit, shadow_audit)
        )
    announce()
    subscription = Subscription(settings, partitions, access.refused)
    return Service(
        settings,
        live,
        tuple(reloaders),
        mappings,
        metrics,
        partitions,
        subscription,
        committer,
        limits,
        access,
        audit,
        spans,
        company_topic,
    )


def _load(settings: Settings, audit: RulesAudit) -> Ruleset:
    """The rules of the settings, once the audit log names them. Raises `RulesetError`, also if a state or a decision
    can become too large, and `AuditError`."""
    try:
        files = read_rule_files(settings.rules)
        ruleset, source = parse_with_source(files)
        refusals = too_large(ruleset, source, settings.max_record_bytes)
        if refusals:
            raise RulesetError(refusals)
    except RulesetError as error:
        audit.refused(None, [str(finding) for finding in error.findings], "start")
        raise
    audit.in_effect(None, ruleset, audit.source(files), "start")
    return ruleset


def _readable(location: Path) -> Ruleset | None:
    """The rules at a place; None if they are wrong, which their reloader reports."""
    try:
        return load_ruleset(location)
    except RulesetError:
        return None


def _shadow_reloader(
    settings: Settings,
    location: Path,
    engine: MemoEngine,
    shadow: Shadow,
    live: LiveRules,
    metrics: Metrics,
    size_limit: SizeLimit,
    audit: RulesAudit,
) -> RulesReloader:
    def adopt(evaluator: Evaluator) -> None:
        shadow.use(evaluator)
        ruleset = evaluator.ruleset
        metrics.shadow(ruleset.name, ruleset.revision)
        # The revision of the rules in effect stays the same, so nothing is re-scored.
        live.use(live.evaluator, ruleset)

    def report(done: Reload) -> None:
        live.last_shadow_reload = done
        metrics.shadow_loaded(done.outcome != "refused")

    known = ruleset_fingerprint(location)
    return RulesReloader(
        "shadow_rules",
        location,
        engine,
        settings.engine,
        lambda: shadow.ruleset,
        adopt,
        report,
        known,
        size_limit,
        audit,
    )


def web(service: Service) -> ASGIApp:
    """The application of the open listener."""
    return build_asgi(service.metrics, service)


def lead_data(service: Service, access: Access) -> Api:
    """The application of the listener for lead data."""
    leads = LeadExplanations(service.partitions, lambda: service.ruleset)
    documents = {"asyncapi": asyncapi(service.settings, bundled=True)}
    return Api(Sources(leads, service.rules.rulesets, documents), access, service.audit)


def _microseconds() -> int:
    return time.time_ns() // 1000
