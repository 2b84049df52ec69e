"""The service has no fault points; only the entry module of these tests has."""

import os
import subprocess
import sys

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka import fault_points
from tests.faults import worker


def test_the_service_has_none() -> None:
    def judge(lead: Lead, activity: LeadActivity) -> Assessment:
        raise NotImplementedError

    # The empty function, and `assess` itself: nothing can fail, and nothing costs time.
    assert fault_points.reached.__code__.co_code == (lambda point: None).__code__.co_code
    assert fault_points.poisoned(judge) is judge


def test_the_variable_alone_arms_nothing() -> None:
    environment = {**os.environ, worker.VARIABLE: "sent:1:kill"}
    code = "from scorer.kafka.fault_points import reached; reached('sent')"
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=True)


def test_a_wrong_fault_point_ends_the_worker() -> None:
    environment = {**os.environ, worker.VARIABLE: "sent:1:explode"}
    command = [sys.executable, "-m", "tests.faults.worker", "run"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "SCORER_FAULT_POINT: 'sent:1:explode' is not a fault point" in ended.stderr
