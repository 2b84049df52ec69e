"""How much of the tests of `deploy/` runs."""

from typing import Final

from tests.variables import given

FULL: Final = given("SCORER_TEST_DEPLOY") == "full"
"""Whether those that take minutes run too (`make test-deploy`)."""
