"""A name that no config has: the hint is by meaning, then by spelling, then the whole path."""

import pytest

from polysense.config.near_names import SAME
from polysense.config.overrides import apply
from polysense.errors import PolysenseError
from polysense.recipes.laptop.image_only import laptop
from polysense.recipes.laptop.onellm import onellm_laptop

STAGE = "stages.words."


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=1e-4", f"did you mean {STAGE}learning_rate or stages.alignment.learning_rate or"),
        ("steps=100", f"did you mean {STAGE}steps or "),
        ("epochs=3", f"did you mean {STAGE}epochs or "),
        ("learning_rte=1", f"did you mean {STAGE}learning_rate or "),
        ("bs=8", f"did you mean {STAGE}batch_size or "),
        (f"{STAGE}lr=1", "did you mean learning_rate?"),
        (f"{STAGE}batch=1", "did you mean batch_size?"),
        (f"{STAGE}wd=1", "did you mean weight_decay?"),
        (f"{STAGE}epoch=1", "did you mean epochs?"),
        (f"{STAGE}learnin_rate=1", "did you mean 'learning_rate'?"),
        ("connector.kind=mlp", "did you mean model.connector? "),
        ("model.llm.path=a", "did you mean name?"),
        ("sed=1", "did you mean 'seed'?"),
        ("model.r=8", "did you mean model.llm.lora.rank? "),
        (f"{STAGE}Batch-Size=1", "did you mean batch_size? "),
        ("xyzzy=1", "unknown key in the config 'xyzzy'. Known: "),
    ],
)
def test_the_hint_names_what_was_meant(tmp_path, setting, meant):
    with pytest.raises(PolysenseError) as failed:
        apply(laptop(tmp_path, None), [setting])
    assert meant in str(failed.value)


def test_of_many_paths_the_first_three_are_named(tmp_path):
    with pytest.raises(PolysenseError) as failed:
        apply(onellm_laptop(tmp_path, None), ["lr=1"])  # seven stages
    hint = str(failed.value).partition("did you mean ")[2].partition("? ")[0]
    stages = ("words-1", "alignment-1", "words-2")
    assert hint == " or ".join(f"stages.{name}.learning_rate" for name in stages)


def test_each_meaning_has_a_name_of_ours():
    fields = {"learning_rate", "batch_size", "epochs", "steps", "weight_decay", "seed", "rank"}
    for field in fields:
        assert any(field in group for group in SAME)
