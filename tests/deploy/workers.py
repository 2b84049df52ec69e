"""Workers as Prometheus sees them, and rules that a test changes under them."""

import re
from pathlib import Path
from shutil import copytree

from tests.integration.service import RULES, Service

FIGURES = """
targets: {revenue: 100000, average_deal: 4000, closing_rate: 1/3}
lifecycle:
  phases: {contact: [contact], offer: [offer], negotiation: [negotiation]}
  categories: [{id: active, when: {lifecycle.status: accepted}}, {id: base}]
  actions: {call: {activity: call_logged}}
"""


def address(running: Service) -> str:
    """`host:port` of a service, as Prometheus names its targets."""
    return running.address.removeprefix("http://")


def rules_without_tests(folder: Path) -> Path:
    """A copy of the example rules that may be changed, without the tests that would refuse a change."""
    copytree(RULES, folder)
    for path in folder.glob("*_test.yaml"):
        path.unlink()
    return folder


def rules_with_figures(folder: Path) -> Path:
    """Such a copy with other targets, phases, categories and actions, and with promises that break within a second, at
    any time of the day."""
    rules_without_tests(folder)
    (folder / "lifecycle.yaml").unlink()
    (folder / "figures.yaml").write_text(FIGURES)
    routing = folder / "routing.yaml"
    promise = re.compile(r"respond_within: \S+\n    escalate: .*")
    routing.write_text(promise.sub("respond_within: 1s\n    escalate: []", routing.read_text()))
    return folder
