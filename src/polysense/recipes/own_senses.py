"""Any recipe with other senses: those a user names, of the package or from a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polysense.config import RunConfig
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
        replace(stage, learn=(*stage.learn, *learning)) if "connector" in stage.learn else stage
        for stage in config.stages
    )
    model = replace(config.model, modalities=options, sources=sources)
    return replace(config, model=model, stages=stages)
