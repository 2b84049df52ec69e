"""Workers as Prometheus sees them, and rules that a test changes under them."""

from pathlib import Path
from shutil import copytree

from tests.integration.service import RULES, Service


def address(running: Service) -> str:
    """`host:port` of a service, as Prometheus names its targets."""
    return running.address.removeprefix("http://")


def rules_without_tests(folder: Path) -> Path:
    """A copy of the example rules that may be changed, without the tests that would refuse a change."""
    copytree(RULES, folder)
    for path in folder.glob("*_test.yaml"):
        path.unlink()
    return folder
