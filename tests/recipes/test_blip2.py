"""BLIP-2's two stages (2301.12597), InstructBLIP's (2305.06500), MiniGPT-4's two."""

from pathlib import Path

from schedules import model_of, schedule

from polysense.recipes.blip2 import blip2, instructblip, minigpt4


def test_schedules():
    assert schedule(blip2) == [(1680, 1e-4, 250_000), (1920, 1e-4, 80_000)]
    assert schedule(instructblip) == [(128, 1e-5, 60_000)]
    assert schedule(minigpt4) == [(256, 1e-4, 20_000), (12, 3e-5, 400)]
    representation, generation = blip2(Path("data"), "pairs.jsonl").stages
    assert representation.objective == "contrast+match+caption"
    assert representation.accumulation == 1  # a caption is told from all others of the batch
    assert (generation.minimum_rate, generation.betas) == (5e-5, (0.9, 0.98))
    assert round(generation.warmup * 80_000) == 2_000


def test_one_q_former_of_32_queries_which_only_instructblips_is_told_the_question():
    for recipe in (blip2, instructblip, minigpt4):
        connector = model_of(recipe).connector
        assert (connector.kind, connector.queries, connector.width) == ("qformer", 32, 768)
        assert (connector.reader is not None) == (recipe is instructblip)
        assert model_of(recipe).encoder.class_token
