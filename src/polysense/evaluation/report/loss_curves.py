"""Loss curves of a run's stages, as one PNG that is legible on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polysense.atomic_write import replacing
from polysense.training.progress.metric_logger import read_log

ACROSS = 3  # stages side by side
GREY = "#808797"  # of text and lines: seen on white and on black

LINES = (
    ("loss", "training", {"color": "#9aa7c7", "linewidth": 0.9, "alpha": 0.8}),
    ("val_loss", "held out", {"color": "#4c6ef5", "marker": "o", "markersize": 4}),
    (
        "val_loss_shuffled",
        "held out, shuffled",
        {"color": "#e8590c", "marker": "o", "markersize": 4},
    ),
)


def draw_losses(logs: Sequence[Path], to: Path) -> None:
    """Draw each stage's training, validation and shuffled loss over its steps into the PNG `to`.

    `logs` are the stages' JSONL logs; one that is not there (a stage that never ran) stays empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(ACROSS, len(logs))
    rows = -(-len(logs) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels[len(logs) :]:
        panel.set_axis_off()
    for panel, log in zip(panels, logs, strict=False):
        draw_stage(panel, log)
    with replacing(to) as scratch:
        figure.savefig(scratch, dpi=130, format="png", transparent=True)


def draw_stage(panel, log: Path) -> None:
    """Draw one stage's curves into a matplotlib panel."""
    lines = read_log(log)
    for name, label, style in LINES:
        points = [(line["step"], line[name]) for line in lines if name in line]
        if points:
            panel.plot(*zip(*points, strict=True), label=label, **style)
    panel.set_title(log.parent.name, color=GREY, fontsize=11)
    panel.set_xlabel("step", color=GREY)
    panel.set_ylabel("nats per token", color=GREY)
    panel.tick_params(colors=GREY)
    panel.grid(color=GREY, alpha=0.2)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
    if lines:
        panel.legend(frameon=False, labelcolor=GREY, fontsize=9)
