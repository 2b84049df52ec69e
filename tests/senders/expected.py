"""Writes the files of expectations beside the samples. Read what changed before you commit it: `git diff`.

python -m tests.senders.expected segment
"""

import json
import sys

from tests.senders.samples import outcomes, readable, samples


def main(platforms: list[str]) -> None:
    """Write the expectations of the platforms."""
    for platform in platforms:
        for sample in samples(platform):
            told = [readable(outcome) for outcome in outcomes(platform, sample.value)]
            sample.expected.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
