"""onellm-7b is the paper's setting; its ablations differ in their stages alone.

They are built of polysense.config.run.
"""

from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES
from polysense.recipes.onellm import onellm_7b
from polysense.recipes.onellm_laptop import SENSES, alignment, progressive


def test_the_papers_setting():
    config = onellm_7b(Path("data"), "pairs.jsonl")
    assert set(config.model.modalities) == set(MODALITIES) == set(SENSES)
    first, second, third, tuning = config.stages
    assert [stage.batch_size for stage in config.stages] == [5120, 1080, 1080, 512]
    assert [stage.steps for stage in config.stages] == [200_000, 200_000, 100_000, None]
    assert [stage.learning_rate for stage in config.stages] == [5e-5, 1e-5, 1e-5, 2e-5]
    assert (first.senses, len(second.senses), len(third.senses)) == (("image",), 4, 8)
    assert second.copy_experts
    assert not first.copy_experts
    assert tuning.learn == ("llm",)
    connector = config.model.connector
    assert (connector.kind, connector.experts, connector.router) == ("upm", 3, "softmax")


def test_data_of_ones_own_is_needed():
    with pytest.raises(PolysenseError, match="--data"):
        onellm_7b(Path("data"), None)


def test_progressive_alignment_with_and_without_replay():
    aligned = [stage for stage in progressive(replay=True) if stage.score]
    assert [len(stage.senses) for stage in aligned] == [1, 4, 8, 0]
    alone = [stage for stage in progressive(replay=False) if stage.score]
    assert [len(stage.senses) for stage in alone] == [1, 3, 4, 0]
    words, captions = alignment("alignment-1", ("image",), 100, 10)
    assert (words.name, words.objective, captions.objective) == (
        "words-1",
        "spelling",
        "next_token",
    )
    assert (words.steps, captions.steps) == (100, 10)
    assert (words.combined, captions.combined) == (False, False)
