"""Every part of a delivered mapping is there for a reason that a sample shows. `make unproven` names the others."""

from typing import Final

import pytest

from tests.senders.samples import samples
from tests.senders.unproven import KNOWN, mappings, unproven

MAPPINGS: Final = mappings()


@pytest.mark.parametrize("platform", MAPPINGS)
def test_a_sample_proves_every_part_of_a_mapping(platform: str) -> None:
    found = {part for _, part in unproven(MAPPINGS[platform], samples(platform))}
    assert found == {part for part in KNOWN if part.startswith(f"{platform}.yaml: ")}


def test_a_part_that_only_one_sample_proves_is_named_without_this_sample() -> None:
    others = [sample for sample in samples("brevo") if sample.path.stem != "transactional_without_tags"]
    [(position, part)] = unproven(MAPPINGS["brevo"], others)
    assert part == "brevo.yaml: kinds.email_opened.data.campaign: subject"
    assert position.file == "brevo.yaml"
