"""PandaGPT (2305.16355) learns from pictures alone; X-LLM (2305.04160) each modality by itself."""

from pathlib import Path

from fixtures.schedules import model_of, schedule

from polysense.recipes.published.pandagpt import pandagpt
from polysense.recipes.published.x_llm import x_llm


def test_schedules():
    assert schedule(pandagpt) == [(256, 5e-4, 2)]
    assert schedule(x_llm) == [(256, 3e-5, 2), (64, 1e-5, 5), (1024, 1e-4, 30), (128, 1e-6, 2)]


def test_one_layer_for_all_that_is_seen_and_low_rank_weights_in_the_llm():
    model = model_of(pandagpt)
    assert model.connector.shared
    assert len(model.modalities) == 4
    assert model.llm.lora is not None
    assert model.llm.lora.rank == 32
    (stage,) = pandagpt(Path("data"), "pairs.jsonl").stages
    assert stage.modalities == ("image",)


def test_each_modality_has_a_stage_that_moves_its_own_q_former():
    stages = x_llm(Path("data"), "pairs.jsonl").stages
    assert [stage.modalities for stage in stages] == [("image",), ("video",), ("audio",), ()]
    for stage in stages[:3]:
        assert all(stage.modalities[0] in part.split(".") for part in stage.trainable)
    assert not model_of(x_llm).connector.shared
