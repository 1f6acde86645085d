"""Peers' recipes at the published sizes, without weights: what moves, and what the table says."""

from pathlib import Path

import pytest
from fixtures.published_sizes import published

from polysense.errors import PolysenseError
from polysense.model.trainable import select
from polysense.recipes import PEERS, RECIPES
from polysense.recipes.published.stages import SAMPLES_AT_ONCE
from polysense.training.objectives import objective_named
from polysense.training.stage_checks import check_stages

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/recipes.md"

# What is frozen through all stages, and what moves in one.
FROZEN = {
    "llm": {"blip2", "cogvlm", "flamingo", "instructblip", "minigpt4", "x-llm"},
    "encoder": set(PEERS) - {"qwen-vl"},
}


def rows():
    """The table of papers' choices, by recipe: the last two columns."""
    choices = DOCUMENT.read_text().partition("### Compared at one budget")[0]
    lines = [line for line in choices.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[3:] for row in cells}


def percent(share):
    digits = 1 if 0.95 < share < 0.99 else 2
    return f"{100 * share:.{digits}f} %"


def test_every_peer_is_registered_and_in_the_table():
    assert set(PEERS) == set(rows())
    assert all(RECIPES[name] is recipe for name, recipe in PEERS.items())


@pytest.mark.parametrize("name", PEERS)
def test_stages_freezing_and_shares(name):
    config = PEERS[name](Path("data"), "pairs.jsonl")
    assert config.recipe == name
    for stage in config.stages:  # what compares samples needs them all at once
        pairs = objective_named(stage.objective).pairs
        assert pairs or stage.batch_size // stage.gradient_accumulation_steps <= 2 * SAMPLES_AT_ONCE
    model = published(config)
    check_stages(model, config)
    size = sum(weight.numel() for weight in model.parameters())
    trainable = [select(model, stage.trainable) for stage in config.stages]
    moving = {part.split(".")[0] for stage in trainable for part in stage}
    for part, recipes in FROZEN.items():
        assert (part not in moving) == (name in recipes)
    shares = [sum(weight.numel() for weight in part.values()) / size for part in trainable]
    assert rows()[name] == [f"{size / 1e9:.2f} B", ", ".join(map(percent, shares))]


@pytest.mark.parametrize("name", PEERS)
def test_data_of_ones_own_is_needed(name):
    with pytest.raises(PolysenseError, match=f"polysense train {name} --data"):
        PEERS[name](Path("data"), None)
