"""How a score is written, the same at the terminal and in the report.

Shares are per cent; CIDEr and BLEU are times 100 as papers print them; ranks are ranks; what means
nothing is a dash.
"""

from __future__ import annotations

from polysense.evaluation.result import BLEU, CIDER, RANK

NONE = "-"


def percent(value: float | None) -> str:
    """Return a share as "62 %", which no line breaks apart; a dash for none."""
    return NONE if value is None else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def score(name: str, value: float | None) -> str:
    """Return a value of the metric called `name`."""
    if value is None:
        return NONE
    if name.startswith(RANK):
        return f"{value:g}"
    return f"{100 * value:.1f}" if name.startswith((CIDER, BLEU)) else percent(value)
