"""What of a lead its figures read. Pure."""

from scorer.domain.lead import Lead
from scorer.domain.lifecycle import Lifecycle, of_facts


def lifecycle_of(lead: Lead) -> Lifecycle | None:
    """The lifecycle of a lead. Of a lead that a release before 0.3 wrote, it is what its facts say."""
    return of_facts(lead.facts) if lead.lifecycle is None and lead.published is not None else lead.lifecycle
