"""Pictures of what was measured: bars of a comparison, and lines of growth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

GREY, BLUE, ORANGE = "#808797", "#4c6ef5", "#e8590c"  # seen on white and on black


def figure_of(columns: int, rows: int = 1, width: float = 4.6) -> tuple[Figure, Any]:
    """Return an empty figure and its panels [rows, columns]."""
    figure = Figure(figsize=(width * columns, 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def plain(panel: Any, title: str) -> None:
    """Give a panel its title and quiet axes."""
    panel.set_title(title, color=GREY, fontsize=10)
    panel.tick_params(colors=GREY, which="both")
    panel.xaxis.label.set_color(GREY)
    panel.yaxis.label.set_color(GREY)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def draw_bars(to: Path | None, title: str, values: Mapping[str, float], unit: str) -> None:
    """Draw one bar a side, with its value, into the PNG `to`; nothing where that is None."""
    if to is None:
        return
    figure, panels = figure_of(1, width=6.4)
    panel = panels[0, 0]
    bars = panel.barh(list(values), list(values.values()), color=BLUE)
    panel.bar_label(bars, fmt=" {:.3g}", color=GREY)
    panel.set_xlabel(unit)
    panel.invert_yaxis()
    plain(panel, title)
    figure.savefig(to, dpi=130, transparent=True)


def draw_growth(to: Path | None, growths: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw seconds and MiB against each size {name: its points and slopes}, logarithmically.

    Every axis of values spans three decades, so that equal slopes look equal.
    """
    if to is None:
        return
    figure, panels = figure_of(len(growths), 2)
    for column, (name, growth) in enumerate(growths.items()):
        for row, (what, colour) in enumerate((("seconds", BLUE), ("mebibytes", ORANGE))):
            panel = panels[row, column]
            sizes, values = ([point[key] for point in growth["points"]] for key in ("size", what))
            panel.plot(sizes, values, color=colour, marker="o", markersize=4)
            panel.set(xscale="log", yscale="log", xlabel=name, ylabel=what)
            panel.set_xticks(sizes, [str(size) for size in sizes])
            panel.minorticks_off()
            middle = max(min(values) * max(values), 1e-12) ** 0.5
            panel.set_ylim(middle / 32, middle * 32)
            plain(panel, f"slope {growth['slopes'][what]:.2f}")
    figure.savefig(to, dpi=130, transparent=True)
