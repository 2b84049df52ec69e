"""All benchmarks, one after the other, and the report.

.venv/bin/python -m benchmarks            # the usual sizes, about three quarters of an hour on two idle cores
.venv/bin/python -m benchmarks --quick    # only checks that they run
.venv/bin/python -m benchmarks --full     # with a million leads and a million activities
"""

import argparse
import subprocess
import sys

from benchmarks.kafka import ROOT
from benchmarks.measuring import progress

Parts = tuple[tuple[str, str], ...]
QUICK: Parts = (
    ("rule_core", "--leads 500 --rounds 3"),
    ("hand_made", "--rounds 1"),
    ("service", "--activities 12000 --leads 1000 --rounds 1 --even"),
    ("service", "--activities 12000 --leads 1000 --rounds 1 --even --broker mock"),
    ("latency", "--seconds 8 --rounds 1 --rate 500"),
    ("scale", "--activities 8000 --leads 1000 --rounds 1"),
    ("restore", "--leads 10000 --rounds 1"),
    ("offline", "--activities 10000 --rounds 1"),
)
USUAL: Parts = (
    ("rule_core", ""),
    ("hand_made", ""),
    ("service", "--even"),
    ("service", "--even --broker mock"),
    ("latency", ""),
    ("scale", ""),
    ("restore", ""),
    ("offline", ""),
)
FULL: Parts = (
    *(spec for spec in USUAL if spec[0] != "offline"),
    ("service", "--large 1000000 --rounds 2"),
    ("offline", "--activities 1000000 --rounds 3"),
)


def main() -> None:
    """Run each in its own process, so that the memory of one does not affect the next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="sizes", const=QUICK, default=USUAL)
    size.add_argument("--full", action="store_const", dest="sizes", const=FULL)
    options = parser.parse_args()
    failed = []
    for part, arguments in options.sizes:
        progress(f"{part} {arguments}")
        command = [sys.executable, "-m", f"benchmarks.{part}", *arguments.split()]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(f"{part} {arguments}".strip())
    subprocess.run([sys.executable, "-m", "benchmarks.report", "--picture"], cwd=ROOT, check=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
