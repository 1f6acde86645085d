"""Rows of the comparison of connectors, as Markdown and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polysense.atomic_write import replacing

HEAD = (
    "recipe", "connector", "fusion", "embeddings", "learns", "top-5", "shuffled", "loss",
    "blind loss", "CPU s",
)  # fmt: skip
GREY = "#808797"  # seen on white and on black


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table; embeddings in brackets are the places they take in the text."""
    lines = [HEAD, ["---"] * 3 + ["---:"] * (len(HEAD) - 3), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row's cells as text."""
    places = "" if row["places"] == row["tokens"] else f" ({row['places']})"
    share = row["trainable"] / row["parameters"]
    shuffled = row["shuffled_top5"]
    return [
        f"`{row['recipe']}`",
        row["connector"],
        row["fusion"],
        f"{row['tokens']}{places}",
        f"{row['trainable'] / 1e6:.1f} M ({share:.1%})",
        f"**{row['top5']:.2f}**",
        "-" if shuffled is None else f"{shuffled:.2f}",
        f"{row['val_loss']:.2f}",
        f"{row['val_loss_shuffled']:.2f}",
        f"{row['cpu_seconds']:.0f}",
    ]


def draw(rows: Sequence[dict[str, Any]], to: Path) -> None:
    """Draw each row's score over its training time, in processor seconds, into the PNG `to`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for row in rows:
        place = (row["cpu_seconds"], row["top5"])
        panel.scatter(*place, color="#4c6ef5", s=14)
        left = any(crowds(other, row) for other in rows)
        panel.annotate(
            row["recipe"], place, xytext=(-4 if left else 4, 3), textcoords="offset points",
            fontsize=8, color=GREY, ha="right" if left else "left",
        )  # fmt: skip
    shuffled = [row["shuffled_top5"] for row in rows if row["shuffled_top5"] is not None]
    if shuffled:
        panel.axhline(
            sum(shuffled) / len(shuffled), color="#e8590c", linewidth=0.9, label="shuffled"
        )
        panel.legend(frameon=False, labelcolor=GREY)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.set_xlabel("training, processor seconds", color=GREY)
    panel.set_ylabel("held-out top-5", color=GREY)
    panel.tick_params(which="both", colors=GREY)
    panel.margins(x=0.15)
    with replacing(to) as scratch:
        figure.savefig(scratch, dpi=130, format="png", transparent=True)


def crowds(other: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether `other` stands where the words right of a row's point would."""
    longer = other["cpu_seconds"] / row["cpu_seconds"]
    return 1 < longer < 1.1 and abs(other["top5"] - row["top5"]) < 0.02
