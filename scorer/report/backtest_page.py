"""page"""

from scorer.tuning.backtest import Backtest


def backtest_page(result: Backtest) -> str:
    return ""
