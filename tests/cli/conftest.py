"""A tiny trained run, and a tiny recipe that `train` finds by its name."""

from dataclasses import replace

import pytest
from fixtures.tiny_model import tiny_config, tiny_run

from polysense import recipes


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("cli") / "run")


@pytest.fixture
def tiny_recipe(monkeypatch, tmp_path):
    """A recipe called tiny, whose parts lie in tmp_path; the working folder is tmp_path too."""
    monkeypatch.chdir(tmp_path)

    def recipe(folder, manifest):
        config = tiny_config(tmp_path / "parts", steps_scale=0.3)
        # A whole number where the config has a float, as recipes write them.
        stages = tuple(replace(stage, weight_decay=0) for stage in config.stages)
        config = replace(config, stages=stages)
        return replace(config, data=type(config.data)(manifest)) if manifest else config

    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
