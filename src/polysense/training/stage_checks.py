"""Checks before any work: every stage's names mean something; what is trainable, as a table."""

from __future__ import annotations

from accelerate import PartialState
from rich.console import Console
from rich.table import Table

from polysense.config import RunConfig
from polysense.data.prompts import samples_for
from polysense.errors import PolysenseError, unknown_name
from polysense.model.connectors.upm import UniversalProjection
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import named, select
from polysense.training.objectives import objective_named
from polysense.training.objectives.qformer_pretraining import check_pairs


def check_stages(model: PolysenseModel, config: RunConfig) -> None:
    """Check before any work that every stage's names mean something."""
    for stage in config.stages:
        select(model, stage.trainable)
        samples_for(stage.task, [], model.modalities)
        objective = objective_named(stage.objective)
        if objective.in_sequence and not model.fusion.in_sequence:
            raise PolysenseError(
                f"stages.{stage.name}.objective={stage.objective}: with fusion.kind="
                f"{config.model.fusion.kind} no embeddings stand in the text; use next_token"
            )
        if objective.pairs:
            check_pairs(model, stage, PartialState().num_processes)
        if stage.copy_experts and not isinstance(model.connector, UniversalProjection):
            raise PolysenseError(
                f"stages.{stage.name}.copy_experts: a connector of kind "
                f"{config.model.connector.kind!r} has no experts; use upm"
            )
        for modality in stage.modalities:
            if modality not in model.modalities:
                raise unknown_name(
                    f"modality in stages.{stage.name}.modalities", modality, model.modalities
                )


def trainable_table(model: PolysenseModel, config: RunConfig) -> list[tuple[str, int, str, str]]:
    """Return rows (part, parameters, stages in which it is trained, of them trainable)."""
    rows = []
    for part, module in model.named_children():
        sizes = {f"{part}.{name}": p.numel() for name, p in module.named_parameters()}
        if not sizes:
            continue
        trainable = {
            s.name: sum(n for name, n in sizes.items() if named(name, s.trainable))
            for s in config.stages
        }
        stages = ", ".join(name for name, count in trainable.items() if count) or "frozen"
        counts = ", ".join(f"{count:,}" for count in trainable.values() if count) or "-"
        rows.append((part, sum(sizes.values()), stages, counts))
    return rows


def print_trainable_table(model: PolysenseModel, config: RunConfig, console: Console) -> None:
    """Print what is trainable and what is frozen, before step 1."""
    table = Table(title="What is trained")
    for column in ("part", "parameters", "trained in", "of them trainable"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for part, size, stages, trainable in trainable_table(model, config):
        table.add_row(part, f"{size:,}", stages, trainable)
    console.print(table)
