"""The scorer as a library: everything that other programs may import, and nothing that needs Kafka or HTTP.

docs/library.md says how stable these names are.
"""

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import Contribution, RoutingDecision, read_decision
from scorer.domain.effects import Decided, Deleted, Effect, HandedOver
from scorer.domain.lead import Lead
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.engines.engine import EngineUnavailableError, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment, Evaluation
from scorer.explain.story import NothingToExplain, explain_lead
from scorer.explain.story_model import Story
from scorer.explain.timeline import History, history
from scorer.lint import analyse
from scorer.offline.ruleset_files import load_ruleset, read_rule_files
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.loader import parse_ruleset, parse_with_source
from scorer.rules.ruleset import Ruleset
from scorer.ruletests.run import Result, RuleTestReport, run_tests
from scorer.sources.cloudevents import parse_event, parse_line, parse_record
from scorer.sources.event_batch import EventBatch
from scorer.sources.rejected import Rejected
from scorer.state.codec import CodecError, decode_lead, encode_lead

__all__ = [
    "Assessment",
    "CodecError",
    "Contribution",
    "Decided",
    "Deleted",
    "Effect",
    "EngineUnavailableError",
    "Evaluation",
    "Evaluator",
    "EventBatch",
    "Finding",
    "Grade",
    "HandedOver",
    "History",
    "Lead",
    "LeadActivity",
    "NothingToExplain",
    "Position",
    "Rating",
    "Rejected",
    "Result",
    "Route",
    "RoutingDecision",
    "RuleTestReport",
    "Ruleset",
    "RulesetError",
    "Score",
    "Story",
    "analyse",
    "decode_lead",
    "default_engine",
    "encode_lead",
    "explain_lead",
    "history",
    "load_ruleset",
    "parse_event",
    "parse_line",
    "parse_record",
    "parse_ruleset",
    "parse_with_source",
    "read_decision",
    "read_rule_files",
    "run_tests",
]
