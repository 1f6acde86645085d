"""Which experts a UPM sends each modality to: as a table, and as a picture.

In: a model whose connector is a UPM. The weights of a router that reads features depend on the
signals it is shown; one that reads the learned tokens has the same for every signal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from polysense.atomic_write import replacing
from polysense.errors import PolysenseError
from polysense.evaluation.result import Evaluation
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.source_string import parse_source


@torch.inference_mode()
def routing_of(
    model: Any, signals_of: Callable[[str], list[torch.Tensor]] | None = None
) -> dict[str, list[float]]:
    """Return {modality: mean weight of each expert}; PolysenseError where nothing is routed.

    A router that reads features is asked with those of the signals that `signals_of` gives for a
    modality, by default its example; a modality of which there are none is left out.
    """
    connector = model.connector
    if not hasattr(connector, "routing"):
        kind = model.config.parts.connector.kind
        raise PolysenseError(f"a connector of kind {kind!r} has no experts to route to: only a UPM")
    weights = {}
    for name, modality in model.modalities.items():
        features = None
        if connector.router_input == "features":
            signals = signals_of(name) if signals_of else [modality.example()]
            if not signals:
                continue
            features = model.extract_features(name, torch.stack(signals).to(model.device))
            features = features.to(next(connector.parameters()).dtype)
        weights[name] = connector.routing(name, features).tolist()
    return weights


def routing_table(weights: dict[str, list[float]]) -> Table:
    """Return a table of modalities and the weights of their experts."""
    table = Table(title="Weights of the experts")
    table.add_column("modality")
    for number in range(len(next(iter(weights.values())))):
        table.add_column(f"expert {number + 1}", justify="right")
    for modality, row in weights.items():
        table.add_row(modality, *(f"{weight:.3f}" for weight in row))
    return table


def picture_file(name: str) -> Path:
    """Return the path of a picture to write; checked before anything is computed."""
    path = Path(name).expanduser()
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise PolysenseError(f"--picture {name!r}: give a .png file in a folder that exists")
    return path


def draw_routing(weights: dict[str, list[float]], path: Path) -> None:
    """Draw a heat map, modalities by experts, each weight in its field, as a PNG file."""
    from matplotlib.figure import Figure  # costs a second to import

    values = torch.tensor(list(weights.values()))
    modalities, experts = values.shape
    figure = Figure(figsize=(2.2 + 0.9 * experts, 1.4 + 0.4 * modalities), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values.numpy(), cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for row, weight_row in enumerate(values.tolist()):
        for column, weight in enumerate(weight_row):
            colour = "black" if weight > 0.6 else "white"
            axes.text(column, row, f"{weight:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(experts), [f"expert {number + 1}" for number in range(experts)])
    axes.set_yticks(range(modalities), list(weights))
    axes.set_title("Weights of the experts")
    figure.colorbar(shown)
    try:
        with replacing(path) as scratch:
            figure.savefig(scratch, format="png", dpi=150)
    except OSError as error:
        raise PolysenseError(f"{str(path)!r} cannot be written: {error.strerror}") from error


SIGNALS = 8  # over which a router that reads features is averaged


def routing_weights(model: Any, evaluation: Evaluation) -> dict[str, list[float]]:
    """Return {modality: weight of each expert}; empty for connectors without experts.

    A router that reads features is asked with those of the first held-out signals of its modality;
    modalities without any that can be read are left out.
    """
    if not hasattr(model.connector, "routing"):
        return {}
    return routing_of(model, partial(held_out_signals, model, evaluation))


def held_out_signals(model: Any, evaluation: Evaluation, modality: str) -> list[torch.Tensor]:
    """Read the first signals of one modality that the evaluation met."""
    answers = (answer for result in evaluation.modalities for answer in result.answers)
    paths = dict.fromkeys(
        file.path for answer in answers for file in answer.files if file.modality == modality
    )
    signals = []
    for path in paths:
        try:
            signals.append(read_signal(model.modalities[modality], parse_source(path)))
        except PolysenseError:
            continue  # a file that has gone since
        if len(signals) == SIGNALS:
            break
    return signals
