"""The job that writes an enrichment into the input for each lead that does not have the present profile of its company.

It compares and keeps no position: after a restart or an outage, the states of the leads and the profiles say what is
missing. So it begins when both are known: the profiles when their topic, and the states when the partition was read to
its end. The activity is part of a transaction of the partition, so a former owner cannot write one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final

import structlog

from scorer.domain.activity import LeadActivity
from scorer.domain.enrichment import mark_of
from scorer.domain.instant import MILLISECOND
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.client_internals import record_size
from scorer.kafka.message import Message
from scorer.runtime.company_metrics import CompanyMetrics
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.token_bucket import TokenBucket
from scorer.sources.cloudevents import CONTENT_TYPE, STRUCTURED
from scorer.sources.company.enrichment import as_event, company_of, enrichment
from scorer.sources.rejected import Rejected
from scorer.state.codec import CodecError
from scorer.state.store import LeadStore
from scorer.stream.companies import Companies
from scorer.stream.jobs.rescore import Rescorer
from scorer.stream.outbox import Outbox

_SLICE: Final = 100
_SLICES_A_SECOND: Final = 10
_LONGEST_WAIT: Final = 1.0
_READ: Final = 100
"""Leads that are read at a time, in about five milliseconds."""
LEADS_A_SECOND: Final = 2_000
"""Leads that a process reads a second, which takes a tenth of its time."""
_LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


class Enrichments:
    """The job (`Job`) of one partition.

    `rescorer`: what all jobs that write share. All jobs of the process share `reading`, the pace of reading leads.
    `caught_up`: whether the partition was read to its end. `allowed`: whether the clock may be trusted.
    """

    name: Final = "enrichment"

    def __init__(
        self,
        rescorer: Rescorer,
        companies: Companies,
        metrics: CompanyMetrics,
        store: LeadStore,
        partition: int,
        reading: TokenBucket,
        caught_up: Callable[[], bool],
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rescorer = rescorer
        self._companies = companies
        self._metrics = metrics
        self._store = store
        self._partition = partition
        self._reading = reading
        self._caught_up = caught_up
        self._allowed = allowed
        self._evaluator: Evaluator | None = None
        self._leads: dict[str, set[str]] = {}
        """By company."""
        self._unread: list[str] = []
        self._behind: dict[str, None] = {}
        self._asked: dict[str, str] = {}
        """The id of the enrichment that was written or refused last, of leads that are still behind. The same one is
        not written again: it will be read, or whatever kept it from having an effect holds for a second one too."""
        self._staged: dict[str, str | None] = {}
        self._outcomes: Counter[str] = Counter()
        self._has_told = False
        self._last_slice = rescorer.monotonic()
        store.on_change.append(self._note)

    @property
    def remaining(self) -> int:
        """How many leads are known to be behind and have no enrichment in the input yet."""
        return len(self._behind)

    def patience(self) -> float | None:
        """Seconds until there may be something to do; None if only a change brings something."""
        if not self._companies.ready:
            return None
        if self._evaluator is None or not self._allowed():
            return _LOOK_SECONDS
        if self._unread:
            return self._reading.wait()
        return self._rescorer.pace.wait() if self._behind else None

    def ready(self) -> bool:
        """Whether enrichments may be written now. Each call also reads some leads first if needed."""
        self._follow()
        if self._unread and self._reading.take(_READ / LEADS_A_SECOND):
            for lead_id in self._unread[-_READ:]:
                self._look(lead_id)
            del self._unread[-_READ:]
        return bool(self._behind) and self._may_write() and self._rescorer.pace.wait() == 0

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add enrichments. While the worker is `busy`, it does so only once a second."""
        self._staged, self._outcomes = {}, Counter()
        monotonic = self._rescorer.monotonic
        held_back = busy and monotonic() - self._last_slice < _LONGEST_WAIT
        if not self.ready() or held_back:
            return False
        assert self._evaluator is not None
        per_second = self._evaluator.ruleset.rescoring.per_second
        leads = list(islice(self._behind, max(1, min(_SLICE, per_second // _SLICES_A_SECOND))))
        self._rescorer.pace.spend(len(leads) / per_second)
        self._last_slice = monotonic()
        written = len(outbox.messages)
        for lead_id in leads:
            self._stage(lead_id, outbox)
        return len(outbox.messages) > written

    def committed(self) -> None:
        """Note that the staged enrichments are in the input."""
        for lead_id, identity in self._staged.items():
            self._behind.pop(lead_id, None)
            if identity is not None:
                self._asked[lead_id] = identity
        self._metrics.enriched(self._outcomes)
        self._staged, self._outcomes = {}, Counter()

    def changed(self, companies: Iterable[str]) -> None:
        """These companies have another profile now."""
        if self._evaluator is not None:
            for company in companies:
                self._unread += self._leads.get(company, ())

    def _follow(self) -> None:
        """Begin when everything is known, and again if the rules accept other sources than before."""
        if self._evaluator is None and not (self._companies.ready and self._caught_up()):
            return
        evaluator = self._rescorer.rules()
        if evaluator is self._evaluator:
            return
        before, self._evaluator = self._evaluator, evaluator
        if before is None or before.ruleset.allowed_sources != evaluator.ruleset.allowed_sources:
            self._unread = list(self._store.ids())
            self._asked, self._has_told = {}, False

    def _may_write(self) -> bool:
        return self._evaluator is not None and self._companies.ready and self._allowed()

    def _look(self, lead_id: str) -> None:
        try:
            lead = self._store.committed(lead_id)
        except CodecError as error:
            # Its next activity becomes a dead letter, which says more.
            log.warning("lead_not_enriched", partition=self._partition, lead=lead_id, error=str(error))
            return
        if lead is not None:
            self._judge(lead)

    def _judge(self, lead: Lead) -> None:
        """Whether the lead is behind."""
        company = company_of(lead)
        if company is not None:
            self._leads.setdefault(company, set()).add(lead.id)
        found = self._enrichment(lead, company)
        if found is None:
            self._behind.pop(lead.id, None)
            self._asked.pop(lead.id, None)
        elif self._asked.get(lead.id) != found.id:
            self._behind[lead.id] = None

    def _enrichment(self, lead: Lead, company: str | None) -> LeadActivity | None:
        profile = None if company is None else self._companies.profiles.get(company)
        return enrichment(lead, company, profile, self._rescorer.clock())

    def _note(self, changed: Mapping[str, Lead], read: Mapping[str, Lead]) -> None:
        """Look at what a transaction changes. Most activities change nothing here, which must cost little."""
        if self._evaluator is None:
            return
        for lead_id, after in changed.items():
            before = read.get(lead_id)
            if before is not None:
                if before.facts is after.facts:
                    continue
                company = company_of(before)
                if company is not None and company != company_of(after):
                    self._leave(company, lead_id)
            self._judge(after)

    def _leave(self, company: str, lead_id: str) -> None:
        leads = self._leads.get(company)
        if leads is not None:
            leads.discard(lead_id)
            if not leads:
                del self._leads[company]

    def _stage(self, lead_id: str, outbox: Outbox) -> None:
        try:
            lead = self._store.get(lead_id)
        except CodecError:
            self._staged[lead_id] = None
            return
        found = self._enrichment(lead, company_of(lead))
        self._staged[lead_id] = None if found is None else found.id
        if found is None or self._asked.get(lead_id) == found.id:
            return
        settings, clock = self._rescorer.settings, self._rescorer.clock
        key, value, headers = lead_id.encode(), as_event(found), [(CONTENT_TYPE, STRUCTURED.encode())]
        try:
            self._admit(found, record_size(key, value, headers))
        except Rejected as rejected:
            self._outcomes["refused"] += 1
            self._tell(rejected)
            return
        self._outcomes["stated" if mark_of(found.id) else "withdrawn"] += 1
        stamp = clock() // MILLISECOND
        topic = settings.activity_topic
        outbox.messages.append(Message(topic, self._partition, key, value, headers, timestamp=stamp))

    def _admit(self, found: LeadActivity, size: int) -> None:
        """Raises `Rejected` if the activity would become a dead letter, or if the input would refuse it."""
        assert self._evaluator is not None
        self._evaluator.admit(found)
        limit = self._rescorer.limits.current.rekeyed
        if size > limit:
            topic = self._rescorer.settings.activity_topic
            raise Rejected("too_large", f"the enrichment has {size:,} bytes; {topic} accepts at most {limit:,}")

    def _tell(self, rejected: Rejected) -> None:
        """Say it once, because it mostly holds for all leads."""
        if not self._has_told:
            self._has_told = True
            log.warning("enrichment_refused", partition=self._partition, reason=rejected.reason, detail=rejected.detail)
