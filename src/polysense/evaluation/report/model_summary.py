"""What a model is made of: its parts and their sizes, and the flow with real shapes."""

from __future__ import annotations

from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from polysense.evaluation.report.expert_routing import routing_of, routing_table
from polysense.model.trainable import named


def part_rows(model: Any) -> list[tuple[str, int, int]]:
    """Return (part, parameters, of them trainable) for each part of a model."""
    rows = []
    for part, module in model.named_children():
        sizes = {f"{part}.{name}": p.numel() for name, p in module.named_parameters()}
        if sizes:
            trainable = sum(
                size for name, size in sizes.items() if named(name, model.config.trainable)
            )
            rows.append((part, sum(sizes.values()), trainable))
    return rows


@torch.inference_mode()
def flow_rows(model: Any, modality: str) -> list[tuple[str, str]]:
    """Run one example signal through the flow; return (what, shape) of each station."""
    signal = model.modalities[modality].example()[None].to(model.device)
    features = model.extract_features(modality, signal)
    embeddings = model.connect(modality, features)
    stations = (
        ("signal", signal),
        ("features", features),
        ("embeddings", embeddings),
    )
    rows = [(name, " x ".join(map(str, value.shape[1:]))) for name, value in stations]
    return [*rows, ("places in the text", str(model.fusion.num_placeholders(embeddings.shape[1])))]


def print_description(model: Any, console: Console) -> None:
    """Print the parts, what is trainable and what is frozen, and the flow of every modality."""
    parts = model.config.parts
    names = {
        "llm": parts.llm.name,
        "encoder": parts.encoder.name,
        "connector": parts.connector.kind,
        "fusion": parts.fusion.kind,
    }
    table = Table(title="Parts")
    for column in ("part", "what", "parameters", "state"):
        table.add_column(
            column, justify="right" if column == "parameters" else "left", overflow="fold"
        )
    for part, size, trainable in part_rows(model):
        state = "frozen" if not trainable else f"{trainable:,} trainable ({trainable / size:.1%})"
        table.add_row(part, names.get(part, ""), f"{size:,}", state)
    console.print(table)
    for modality in model.modalities:
        flow = Table(title=f"Flow of one {modality}", show_header=False)
        for what, shape in flow_rows(model, modality):
            flow.add_row(what, shape)
        console.print(flow)
    if hasattr(model.connector, "routing"):
        console.print(routing_table(routing_of(model)))
