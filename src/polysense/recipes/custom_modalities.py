"""Any recipe with other modalities: those a user names, the package's or one's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from polysense.config import RunConfig, Stage
from polysense.modalities import build_modalities, modality_class
from polysense.modalities.custom import source_of

TRIAL_WIDTH = 64  # of a tokenizer that is built only to see whether it has parameters


def with_modalities(config: RunConfig, named: Sequence[str]) -> RunConfig:
    """Return `config` with exactly the modalities `named` ("image", "ecg.py", "ecg.py:Ecg").

    Modalities of the recipe keep its options. A tokenizer with parameters begins at random, so it
    learns wherever the connector does.
    """
    classes = {modality.name: modality for modality in map(modality_class, named)}
    options = {name: config.model.modalities.get(name, {}) for name in classes}
    sources = {
        name: source_of(modality) for name, modality in classes.items() if source_of(modality)
    }
    learning = tuple(
        f"tokenizers.{name}"
        for name, modality in build_modalities(options, sources).items()
        if any(True for _ in modality.tokenizer(TRIAL_WIDTH).parameters())
    )
    stages = tuple(
        adapted
        for stage in config.stages
        if (adapted := adapt(stage, options, learning)) is not None
    )
    model = replace(config.model, modalities=options, sources=sources)
    return replace(config, model=model, stages=stages)


def adapt(stage: Stage, modalities: Collection[str], learning: tuple[str, ...]) -> Stage | None:
    """Return a stage for these modalities only; None where it was for others alone."""
    kept = tuple(modality for modality in stage.modalities if modality in modalities)
    if stage.modalities and not kept:
        return None
    trainable = tuple(part for part in stage.trainable if part != "tokenizers")
    if any(part.startswith("connector") for part in trainable):
        trainable = (*trainable, *learning)
    return replace(stage, modalities=kept, trainable=trainable)
