"""Configs survive JSON, and --set changes one value or teaches."""

from dataclasses import dataclass, field

import pytest

from polysense.config import ModelConfig, RunConfig, Stage
from polysense.config.overrides import apply, from_json, to_json, whole_paths
from polysense.errors import PolysenseError


@pytest.fixture
def config():
    return from_json(
        RunConfig,
        {
            "recipe": "r",
            "model": {
                "llm": {"name": "l"},
                "encoder": {"kind": "transformers", "name": "e"},
                "connector": {},
                "modalities": {"image": {"size": 8, "augment": {"flip": True}}},
            },
            "data": {"manifest": "m.jsonl"},
            "stages": [
                {"name": "first", "trainable": ["connector"]},
                {"name": "second", "trainable": ["connector"]},
            ],
        },
    )


def test_json_round_trip(config):
    assert from_json(RunConfig, to_json(config)) == config


@pytest.mark.parametrize(
    ("setting", "read", "value"),
    [
        ("seed=7", lambda c: c.seed, 7),
        ("stages.first.learning_rate=3e-4", lambda c: c.stages[0].learning_rate, 3e-4),
        (
            "stages.first.trainable=connector,llm",
            lambda c: c.stages[0].trainable,
            ("connector", "llm"),
        ),
        ("model.llm.lora.rank=8", lambda c: c.model.llm.lora.rank, 8),
        ("model.llm.revision=null", lambda c: c.model.llm.revision, None),
        ("model.connector.kind=upm", lambda c: c.model.connector.kind, "upm"),
        ("model.encoder.pooled_grid=4", lambda c: c.model.encoder.pooled_grid, 4),
        ("model.encoder.class_token=true", lambda c: c.model.encoder.class_token, True),
        ("model.modalities.image.size=16", lambda c: c.model.modalities["image"]["size"], 16),
        ("model.encoder.pooled_grid=none", lambda c: c.model.encoder.pooled_grid, None),
        ("stages.first.betas=0.8,0.9", lambda c: c.stages[0].betas, (0.8, 0.9)),
        ("stages.first.epochs=2", lambda c: c.stages[0].epochs, 2.0),
        ("model.llm.lora.targets=a, b", lambda c: c.model.llm.lora.targets, ("a", "b")),
        (
            "model.modalities.image.augment.flip=false",
            lambda c: c.model.modalities["image"]["augment"],
            {"flip": False},
        ),
        ("model.llm.name=1234", lambda c: c.model.llm.name, "1234"),
    ],
)
def test_set_changes_one_value(config, setting, read, value):
    changed = apply(config, [setting])
    assert read(changed) == value
    assert changed != config or read(config) == value
    assert changed.stages[1] == config.stages[1]
    assert set(changed.model.modalities["image"]) == {"size", "augment"}  # beside what was set


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sead=1", "did you mean 'seed'"),
        ("stages.frist.epochs=1", "did you mean 'first'"),
        ("seed=many", "must be a whole number"),
        ("seed=1.5", "must be a whole number"),
        ("seed=true", "must be a whole number"),
        ("stages.first.epochs=true", "must be a number"),
        ("=1", "path=value"),
        ("stages.first=1", "name one of its fields"),
        ("model.connector.router=hard", "unknown value of model.connector.router"),
        ("stages.first.epochs=-1", "must be positive"),
        ("seed", "path=value"),
        ("seed.x=1", "no fields"),
        ("model.encoder.class_token=1", "true or false"),
        ("stages.first.betas=0.9", r"stages\.first\.betas must be tuple"),
        ("stages.first.learning_rate=Infinity", "must be a number, not inf"),
        ("stages.first.learning_rate=1" + "0" * 400, "must be a number"),
        ("data.max_bad_fraction=NaN", "must be a number, not nan"),
        ("model.llm.lora.rnk=3", r"key in model\.llm\.lora 'rnk'; did you mean 'rank'"),
        ("model.modalities.imag.size=3", "did you mean 'image'"),
        ("model.modalities.image.size.x=3", "has no fields"),
    ],
)
def test_a_wrong_setting_teaches(config, setting, words):
    with pytest.raises(PolysenseError, match=words):
        apply(config, [setting])


def test_missing_and_unknown_keys_are_named():
    with pytest.raises(PolysenseError, match="lacks connector, encoder"):
        from_json(ModelConfig, {"llm": {"name": "x"}, "modalities": {"image": {}}})
    with pytest.raises(PolysenseError, match="unknown key"):
        from_json(Stage, {"name": "a", "trainable": ["b"], "lr": 1})


def test_settings_are_applied_in_order_and_leave_the_config_alone(config):
    before = to_json(config)
    changed = apply(config, ["model.llm.lora.rank=8", "model.llm.lora.alpha=9", "seed=1", "seed=2"])
    assert (changed.model.llm.lora.rank, changed.model.llm.lora.alpha, changed.seed) == (8, 9, 2)
    assert from_json(RunConfig, to_json(changed)) == changed
    assert to_json(config) == before


def test_any_dataclass_will_do():
    """No class is named in config/overrides.py; an optional part with a needed field says which."""

    @dataclass(frozen=True)
    class Part:
        size: int

    @dataclass(frozen=True)
    class Whole:
        part: Part | None = None
        shares: dict[str, float] = field(default_factory=dict)

    assert apply(Whole(Part(1)), ["part.size=2", "shares.a=1"]) == Whole(Part(2), {"a": 1.0})
    with pytest.raises(PolysenseError, match="part lacks size"):
        apply(Whole(), ["part.size=2"])
    with pytest.raises(PolysenseError, match=r"shares\.a must be a number"):
        apply(Whole(), ["shares.a=much"])


def test_an_option_of_a_modality_needs_not_its_whole_path():
    places = {"imu": "model.modalities", "image": "model.modalities"}
    settings = ["imu.gyroscope_unit=deg/s", "seed=1", "model.modalities.image.size=8", "imu=1"]
    assert whole_paths(settings, places) == [
        "model.modalities.imu.gyroscope_unit=deg/s", *settings[1:]
    ]  # fmt: skip
