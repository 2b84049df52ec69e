"""Without the variable there are no fault points."""

import os
import subprocess
import sys

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka import fault_points


def test_a_process_without_the_variable_has_none() -> None:
    def judge(lead: Lead, activity: LeadActivity) -> Assessment:
        raise NotImplementedError

    assert fault_points.VARIABLE not in os.environ
    # The empty function, and `assess` itself: nothing can fail, and nothing costs time.
    assert fault_points.reached.__code__.co_code == (lambda point: None).__code__.co_code
    assert fault_points.poisoned(judge) is judge


def test_a_wrong_fault_point_ends_the_process() -> None:
    environment = {**os.environ, fault_points.VARIABLE: "sent:1:explode"}
    command = [sys.executable, "-c", "import scorer.kafka.fault_points"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "SCORER_FAULT_POINT: 'sent:1:explode' is not a fault point" in ended.stderr
