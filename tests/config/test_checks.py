"""Every field of every config has its range, told at once and by its name."""

import math
from dataclasses import fields, replace

import pytest

from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    FusionConfig,
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.config.checks import LARGEST
from polysense.errors import PolysenseError

STAGE = Stage("words", trainable=("connector",))
MODEL = ModelConfig(
    LanguageModelConfig("llm"), EncoderConfig("transformers", "e"), ConnectorConfig(), {"image": {}}
)
DATA = DataConfig("pairs.jsonl")
GOOD = {
    type(config): config
    for config in (
        STAGE, MODEL, DATA, LoraConfig(), LanguageModelConfig("llm"), ConnectorConfig(),
        EncoderConfig("transformers", "e"), FusionConfig(), EvaluationConfig(),
        RunConfig("tiny", MODEL, DATA, (STAGE,)),
    )
}  # fmt: skip
HUGE = 99999999999999999999
BAD = [
    (Stage, "name", ["", "a/b", "a.b", "a b"]),
    (Stage, "trainable", [(), ("",)]),
    (Stage, "chat", ["templat"]),
    (Stage, "steps", [0, -1, HUGE]),
    (Stage, "betas", [(2.0, 3.0), (0.9, 1.0), (-0.1, 0.9), (math.nan, 0.9)]),
    (Stage, "warmup_ratio", [-0.1, 1.0, math.nan]),
    *((Stage, name, [0.0, -1.0, math.nan]) for name in ("epochs", "learning_rate")),
    (Stage, "max_grad_norm", [0.0, -1.0, math.nan]),
    *((Stage, name, [math.inf]) for name in ("epochs", "learning_rate", "max_grad_norm")),
    *((Stage, name, [-1.0, math.nan, math.inf]) for name in ("min_learning_rate", "weight_decay")),
    *((Stage, name, [0, -1, HUGE]) for name in ("batch_size", "gradient_accumulation_steps")),
    (Stage, "packed_length", [0, -1, HUGE]),
    *((Stage, name, [0, -1, HUGE]) for name in ("checkpoint_every", "evaluate_every")),
    (DataConfig, "manifest", [""]),
    (DataConfig, "held_out", [0.0, 1.0, math.nan]),
    (DataConfig, "views", [0, HUGE]),
    (DataConfig, "max_bad_fraction", [-0.1, 1.1, math.nan]),
    (EvaluationConfig, "max_new_tokens", [0, -1, HUGE]),
    (EvaluationConfig, "limit", [-1]),
    (EvaluationConfig, "per_modality", [-1]),
    (EvaluationConfig, "question", ["", " "]),
    (RunConfig, "seed", [-1, HUGE]),
    (RunConfig, "stages", [(), (STAGE, STAGE)]),
    (LoraConfig, "rank", [0]),
    (LoraConfig, "alpha", [0, -1]),
    (LoraConfig, "dropout", [-0.1, 1.0, math.nan]),
    (LoraConfig, "targets", [(), ("",)]),
    (LanguageModelConfig, "name", [""]),
    (EncoderConfig, "name", [""]),
    (EncoderConfig, "pooled_grid", [0, HUGE]),
    (EncoderConfig, "width", [0, HUGE]),
    *((ConnectorConfig, name, [0, HUGE]) for name in ("hidden", "layers", "heads", "queries")),
    *((ConnectorConfig, name, [0, HUGE]) for name in ("experts", "frames", "merge_factor")),
    (ConnectorConfig, "contrastive_width", [0, HUGE]),
    (ConnectorConfig, "dropout", [-0.1, 1.0, math.nan]),
    *((ConnectorConfig, name, ["other"]) for name in ("router", "router_input", "variant")),
    *((FusionConfig, name, [0, HUGE]) for name in ("every_n_layers", "heads", "layers", "prompts")),
    *((FusionConfig, name, ["other"]) for name in ("variant", "gates")),
    (ModelConfig, "precision", ["fp16"]),
    (ModelConfig, "modalities", [{}]),
    (ModelConfig, "sources", [{"heat": "heat.py:Heat"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, name, values in BAD for value in values],
)
def test_a_value_out_of_range_is_told_by_its_name(kind, name, value):
    with pytest.raises(PolysenseError) as failed:
        replace(GOOD[kind], **{name: value})
    assert name in str(failed.value) or (kind, name) == (Stage, "name")
    assert "\n" not in str(failed.value)


def test_every_number_of_a_config_has_its_range():
    """A field of numbers that is added without one is found here."""
    free = {("EncoderConfig", "layer")}  # may be negative; checked where the layers are known
    checked = {(kind.__name__, name) for kind, name, _ in BAD}
    for kind in GOOD:
        for field in fields(kind):
            is_number = str(field.type).removesuffix(" | None") in ("int", "float")
            place = (kind.__name__, field.name)
            if is_number and kind not in (ConnectorConfig, FusionConfig):
                assert place in checked | free, place


def test_the_ends_of_ranges_are_allowed():
    assert replace(STAGE, batch_size=LARGEST).batch_size == LARGEST
    assert replace(STAGE, batch_size=1, steps=1).batch_size == 1
    assert replace(STAGE, warmup_ratio=0.0, betas=(0.0, 0.0)).warmup_ratio == 0
    assert replace(STAGE, weight_decay=0.0, min_learning_rate=0.0).weight_decay == 0
    assert replace(DATA, max_bad_fraction=1.0).max_bad_fraction == 1


def test_an_encoder_without_weights_has_no_name():
    assert EncoderConfig("none", "weights of the recipe").name == ""
    assert EncoderConfig("transformers", "weights").name == "weights"


def test_options_that_are_set_are_given_also_where_they_are_false_or_zero():
    config = ConnectorConfig(norm=False, dropout=0.0, layers=None)
    assert config.given("norm", "dropout", "layers") == {"norm": False, "dropout": 0.0}
