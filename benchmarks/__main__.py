"""All benchmarks, one after the other, and the report.

.venv/bin/python -m benchmarks            # the usual sizes, about three quarters of an hour on two idle cores
.venv/bin/python -m benchmarks --quick    # only checks that they run
.venv/bin/python -m benchmarks --full     # with a million leads and a million activities
.venv/bin/python -m benchmarks --broker kafka    # on Apache Kafka, 25 minutes; --quick also works
"""

import argparse
import subprocess
import sys

from benchmarks.kafka import KAFKA, ROOT
from benchmarks.measuring import progress

Parts = tuple[tuple[str, str], ...]
QUICK: Parts = (
    ("rule_core", "--leads 500 --rounds 3"),
    ("hand_made", "--rounds 1"),
    ("service", "--activities 12000 --leads 1000 --rounds 1 --even"),
    ("latency", "--seconds 8 --rounds 1 --rate 500"),
    ("scale", "--activities 8000 --leads 1000 --rounds 1"),
    ("restore", "--leads 10000 --rounds 1"),
    ("lead_reads", "--activities 20000 --leads 1000 --seconds 1 --rounds 1"),
    ("offline", "--activities 10000 --rounds 1"),
)
USUAL: Parts = (
    ("rule_core", ""),
    ("hand_made", ""),
    ("service", "--even"),
    ("latency", ""),
    ("scale", ""),
    ("restore", ""),
    ("lead_reads", ""),
    ("offline", ""),
)
FULL: Parts = (
    *(spec for spec in USUAL if spec[0] != "offline"),
    ("service", "--large 1000000 --rounds 2"),
    ("offline", "--activities 1000000 --rounds 3"),
)

ON_KAFKA: Parts = (
    ("usual_load", ""),
    ("service", "--broker kafka --rounds 5"),
    ("ready", ""),
    ("rebalance", ""),
)
QUICK_ON_KAFKA: Parts = (
    ("usual_load", "--rounds 1 --seconds 2 --partitions 4 --leads 500"),
    ("service", "--broker kafka --activities 8000 --leads 500 --rounds 1"),
    ("ready", "--partitions 8 --seconds 2 --rounds 1"),
    ("rebalance", "--partitions 12 --rate 200 --leads 500 --rounds 1"),
    ("latency", "--broker kafka --rate 500 --seconds 5 --rounds 1"),
    ("scale", "--activities 4000 --leads 500 --rounds 1"),
    ("restore", "--broker kafka --leads 10000 --rounds 1"),
)


def main() -> None:
    """Run each in its own process, so that the memory of one does not affect the next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="sizes", const=QUICK, default=USUAL)
    size.add_argument("--full", action="store_const", dest="sizes", const=FULL)
    parser.add_argument("--broker", choices=[KAFKA], help="only the parts that need Apache Kafka, on it")
    options = parser.parse_args()
    parts: Parts = options.sizes
    if options.broker == KAFKA:
        parts = QUICK_ON_KAFKA if options.sizes is QUICK else ON_KAFKA
    failed = []
    for part, arguments in parts:
        progress(f"{part} {arguments}")
        command = [sys.executable, "-m", f"benchmarks.{part}", *arguments.split()]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(f"{part} {arguments}".strip())
    subprocess.run([sys.executable, "-m", "benchmarks.report", "--picture"], cwd=ROOT, check=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
