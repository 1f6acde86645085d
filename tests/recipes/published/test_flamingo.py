"""OpenFlamingo's script, CogVLM's paper (2311.03079) and Qwen-VL's (2308.12966)."""

from pathlib import Path

from fixtures.schedules import model_of, schedule

from polysense.recipes.published.cogvlm import cogvlm
from polysense.recipes.published.flamingo import flamingo
from polysense.recipes.published.qwen_vl import qwen_vl


def test_schedules():
    assert schedule(flamingo) == [(768, 1e-4, 234_375)]
    assert schedule(cogvlm) == [(8192, 1e-4, 120_000), (1024, 1e-5, 60_000), (1024, 1e-5, 6_000)]
    assert schedule(qwen_vl) == [(30_720, 2e-4, 50_000), (4096, 5e-5, 19_000), (128, 1e-5, 8_000)]
    (stage,) = flamingo(Path("data"), "pairs.jsonl").stages
    assert stage.min_learning_rate == stage.learning_rate  # constant, after a warm-up


def test_where_the_llm_meets_the_pictures():
    gated = model_of(flamingo)
    assert (gated.fusion.kind, gated.fusion.every_n_layers) == ("cross_attention", 4)
    assert (gated.connector.kind, gated.connector.queries) == ("perceiver", 64)
    expert = model_of(cogvlm)
    assert (expert.fusion.kind, expert.fusion.every_n_layers) == ("visual_expert", 1)
    plain = model_of(qwen_vl)
    assert (plain.fusion.kind, plain.connector.kind) == ("input", "resampler")
    assert plain.connector.queries == 256
