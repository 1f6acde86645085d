"""Which experts a UPM sends each sense to: as a table, and as a picture.

In: a model whose connector is a UPM. The weights of a router that reads features depend on the
signals it is shown; one that reads the learned tokens has the same for every signal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from polysense.errors import PolysenseError
from polysense.writing import replacing


@torch.inference_mode()
def routing_of(
    model: Any, signals_of: Callable[[str], list[torch.Tensor]] | None = None
) -> dict[str, list[float]]:
    """Return {sense: mean weight of each expert}; PolysenseError where nothing is routed.

    A router that reads features is asked with those of the signals that `signals_of` gives for a
    sense, by default its example; a sense of which there are none is left out.
    """
    connector = model.connector
    if not hasattr(connector, "routing"):
        kind = model.config.parts.connector.kind
        raise PolysenseError(f"a connector of kind {kind!r} has no experts to route to: only a UPM")
    weights = {}
    for name, sense in model.modalities.items():
        features = None
        if connector.router_input == "features":
            signals = signals_of(name) if signals_of else [sense.example()]
            if not signals:
                continue
            features = model.extract(name, torch.stack(signals).to(model.device))
            features = features.to(next(connector.parameters()).dtype)
        weights[name] = connector.routing(name, features).tolist()
    return weights


def routing_table(weights: dict[str, list[float]]) -> Table:
    """Return a table of senses and the weights of their experts."""
    table = Table(title="Weights of the experts")
    table.add_column("sense")
    for number in range(len(next(iter(weights.values())))):
        table.add_column(f"expert {number + 1}", justify="right")
    for sense, row in weights.items():
        table.add_row(sense, *(f"{weight:.3f}" for weight in row))
    return table


def picture_file(name: str) -> Path:
    """Return the path of a picture to write; checked before anything is computed."""
    path = Path(name).expanduser()
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise PolysenseError(f"--picture {name!r}: give a .png file in a folder that exists")
    return path


def draw_routing(weights: dict[str, list[float]], path: Path) -> None:
    """Draw a heat map, senses by experts with each weight written in its field, as a PNG file."""
    from matplotlib.figure import Figure  # costs a second to import

    values = torch.tensor(list(weights.values()))
    senses, experts = values.shape
    figure = Figure(figsize=(2.2 + 0.9 * experts, 1.4 + 0.4 * senses), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values.numpy(), cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for row, weight_row in enumerate(values.tolist()):
        for column, weight in enumerate(weight_row):
            colour = "black" if weight > 0.6 else "white"
            axes.text(column, row, f"{weight:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(experts), [f"expert {number + 1}" for number in range(experts)])
    axes.set_yticks(range(senses), list(weights))
    axes.set_title("Weights of the experts")
    figure.colorbar(shown)
    try:
        with replacing(path) as scratch:
            figure.savefig(scratch, format="png", dpi=150)
    except OSError as error:
        raise PolysenseError(f"{str(path)!r} cannot be written: {error.strerror}") from error
