"""The key figures as a page for sales managers."""
from scorer.figures.report_model import Report


def keyfigures_page(result: Report) -> str:
    """The whole page, self-contained."""
    return ""
