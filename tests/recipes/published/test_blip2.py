"""BLIP-2's two stages (2301.12597), InstructBLIP's one (2305.06500), MiniGPT-4's two."""

from pathlib import Path

from fixtures.published_sizes import published
from fixtures.schedules import model_of, schedule

from polysense.model.trainable import named, select
from polysense.recipes.published.blip2 import blip2, instructblip, minigpt4, query_side


def test_schedules():
    assert schedule(blip2) == [(1680, 1e-4, 250_000), (1920, 1e-4, 80_000)]
    assert schedule(instructblip) == [(128, 1e-5, 60_000)]
    assert schedule(minigpt4) == [(256, 1e-4, 20_000), (12, 3e-5, 400)]
    first, second = blip2(Path("data"), "pairs.jsonl").stages
    assert (first.objective, first.gradient_accumulation_steps) == ("itc+itm+itg", 1)
    assert (first.min_learning_rate, second.min_learning_rate) == (1e-5, 5e-5)
    assert first.betas == second.betas == (0.9, 0.98)
    assert round(first.warmup_ratio * 250_000) == round(second.warmup_ratio * 80_000) == 2_000


def test_one_q_former_of_32_queries_which_only_instructblips_is_told_the_question():
    for recipe in (blip2, instructblip, minigpt4):
        connector = model_of(recipe).connector
        assert (connector.kind, connector.queries, connector.width) == ("qformer", 32, 768)
        assert (connector.instruction_tokenizer is not None) == (recipe is instructblip)
        assert model_of(recipe).encoder.class_token
        # BLIP-2's begins as BERT, the others' as one that has been through BLIP-2's first stage.
        assert ("blip2" in (connector.init_from or "")) == (recipe is not blip2)


def test_what_only_words_go_through_rests_in_front_of_the_llm():
    config = blip2(Path("data"), "pairs.jsonl")
    model = published(config)
    first, second = (set(select(model, stage.trainable)) for stage in config.stages)
    assert all(name.startswith("connector") for name in first | second)
    # The paper counts 188 M for its Q-Former, with what is not said, and 107 M before the LLM.
    weights = dict(model.named_parameters())
    former = sum(weights[name].numel() for name in first if ".former." in name)
    assert round(former / 1e6) == 186
    assert round(sum(weights[name].numel() for name in second) / 1e6) == 107
    resting = {"words", "positions", "text_feedforward", "query_projection", "text_projection"}
    resting |= {"temperature", "itm_head", "lm_head"}
    assert all(resting & set(name.split(".")) for name in first - second)
    assert not any(resting & set(name.split(".")) for name in second)
    assert all(named(name, query_side("image")) for name in second)
