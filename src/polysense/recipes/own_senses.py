"""Any recipe with other senses: those a user names, of the package or from a file of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from polysense.config import RunConfig, Stage
from polysense.modalities import build_modalities, modality_class
from polysense.modalities.sense_files import source_of

TRIAL_WIDTH = 64  # of a tokenizer that is built only to see whether it has parameters


def with_senses(config: RunConfig, named: Sequence[str]) -> RunConfig:
    """Return `config` with exactly the senses `named` ("image", "ecg.py", "ecg.py:Ecg").

    Senses of the recipe keep its options. A tokenizer with parameters begins at random, so it
    learns wherever the connector does.
    """
    classes = {sense.name: sense for sense in map(modality_class, named)}
    options = {name: config.model.modalities.get(name, {}) for name in classes}
    sources = {name: source_of(sense) for name, sense in classes.items() if source_of(sense)}
    learning = tuple(
        f"tokenizers.{name}"
        for name, sense in build_modalities(options, sources).items()
        if any(True for _ in sense.tokenizer(TRIAL_WIDTH).parameters())
    )
    stages = tuple(
        adapted
        for stage in config.stages
        if (adapted := adapt(stage, options, learning)) is not None
    )
    model = replace(config.model, modalities=options, sources=sources)
    return replace(config, model=model, stages=stages)


def adapt(stage: Stage, senses: Collection[str], learning: tuple[str, ...]) -> Stage | None:
    """Return a stage for these senses only; None where it was for others alone."""
    kept = tuple(sense for sense in stage.senses if sense in senses)
    if stage.senses and not kept:
        return None
    learn = tuple(part for part in stage.learn if part != "tokenizers")
    if any(part.startswith("connector") for part in learn):
        learn = (*learn, *learning)
    return replace(stage, senses=kept, learn=learn)
