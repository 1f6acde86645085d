"""A tiny run that learnt pictures and motions, evaluated: what most tests here look at."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fixtures.tiny_model import save_motions, two_modalities_config

from polysense.config import RunConfig
from polysense.evaluation.evaluate import evaluate
from polysense.evaluation.result import Evaluation
from polysense.training.run import train
from polysense.training.stage_data import TrainingContext


@dataclass(frozen=True)
class Evaluated:
    """A trained run and what its evaluation found."""

    trainee: TrainingContext
    config: RunConfig
    folder: Path
    evaluation: Evaluation


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory) -> Evaluated:
    """Motions are marked as simulated in the manifest, pictures as real."""
    folder = tmp_path_factory.mktemp("two-senses")
    manifest = save_motions(folder / "parts" / "motions")
    lines = map(json.loads, manifest.read_text().splitlines())
    marked = [{**line, "source": "simulated" if "imu" in line else "real"} for line in lines]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in marked))
    config = two_modalities_config(folder / "parts")
    shorter = tuple(replace(stage, epochs=stage.epochs / 2) for stage in config.stages)
    config = replace(config, stages=shorter)
    trainee = train(config, folder / "run")
    assert trainee.cache is not None
    parts = trainee.model, trainee.processor, trainee.cache, trainee.split
    return Evaluated(trainee, config, folder / "run", evaluate(*parts, config.evaluation))
