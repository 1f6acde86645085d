"""onellm-7b is the paper's setting; its ablations differ in their stages alone.

They are built of polysense.config.run.
"""

from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES
from polysense.model.trainable import named
from polysense.recipes.laptop.onellm import MODALITIES as LAPTOP
from polysense.recipes.laptop.onellm import progressive
from polysense.recipes.published.onellm import onellm_7b


def test_the_papers_setting():
    config = onellm_7b(Path("data"), "pairs.jsonl")
    assert set(config.model.modalities) == set(MODALITIES) == set(LAPTOP)
    first, second, third, tuning = config.stages
    assert [stage.batch_size for stage in config.stages] == [5120, 1080, 1080, 512]
    assert [stage.steps for stage in config.stages] == [200_000, 200_000, 100_000, None]
    assert [stage.learning_rate for stage in config.stages] == [5e-5, 1e-5, 1e-5, 2e-5]
    assert (first.modalities, len(second.modalities), len(third.modalities)) == (("image",), 4, 8)
    for stage in (first, second, third):  # section 4.1
        assert (stage.betas, stage.weight_decay, stage.max_grad_norm) == ((0.9, 0.95), 0.1, 2.0)
        assert stage.warmup_ratio * stage.steps == pytest.approx(2_000)
        assert stage.trainable == ("tokenizers", "connector")
        assert stage.evaluate_forgetting
        assert not stage.multi_signal
    assert (tuning.max_grad_norm, tuning.task, tuning.chat) == (2.0, "instruction", "template")
    assert config.model.encoder.class_token
    assert second.copy_experts
    assert not first.copy_experts
    assert tuning.trainable == ("llm",)
    connector = config.model.connector
    assert (connector.kind, connector.experts, connector.router) == ("upm", 3, "softmax")


def test_data_of_ones_own_is_needed():
    with pytest.raises(PolysenseError, match="--data"):
        onellm_7b(Path("data"), None)


def test_progressive_alignment_with_and_without_replay():
    aligned = [stage for stage in progressive(replay=True) if stage.evaluate_forgetting]
    assert [len(stage.modalities) for stage in aligned] == [1, 4, 8, 0]
    alone = [stage for stage in progressive(replay=False) if stage.evaluate_forgetting]
    assert [len(stage.modalities) for stage in alone] == [1, 3, 4, 0]
    spelled = [stage for stage in progressive(replay=True) if stage.objective == "token_alignment"]
    assert [len(stage.modalities) for stage in spelled] == [1, 3, 4]
    assert not any(stage.multi_signal for stage in (*spelled, *aligned[:3]))


def test_later_modalities_take_the_experts_as_they_are():
    *courses, tuning = progressive(replay=True)
    shared = "connector.blocks.0.wq"
    own = ("tokens.image", "input_projection.image.0.weight", "routers.image.fc1.bias", "end_tag.x")
    for stage in courses:
        assert named(shared, stage.trainable) == (stage.name in ("words-1", "alignment-1"))
        assert all(named(f"connector.{name}", stage.trainable) for name in own)
        assert named("tokenizers.audio.convolution.weight", stage.trainable)
    assert not named(shared, tuning.trainable)


def test_without_replay_the_experts_go_on_learning():
    moved = [
        s.name for s in progressive(replay=False) if named("connector.blocks.0.wq", s.trainable)
    ]
    assert moved == ["words-1", "alignment-1", "alignment-2", "alignment-3"]
