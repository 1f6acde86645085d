"""Names are checked before anything is built; each error says what there is."""

from dataclasses import replace

import pytest
from fixtures.tiny_model import tiny_config

from polysense.config.overrides import apply
from polysense.errors import PolysenseError
from polysense.training import run as training
from polysense.training.named_parts import check_names

UNKNOWN = [
    ("model.connector.kind=foo", r"unknown connector 'foo'\. Known: abstractor, .*upm"),
    ("model.encoder.kind=foo", r"unknown encoder 'foo'\. Known: efficientnet-lite, none"),
    ("model.fusion.kind=foo", r"unknown fusion 'foo'\. Known: cross_attention, input, llama"),
    ("stages.alignment.task=foo", r"unknown task 'foo'\. Known: answer, caption, instruction"),
    ("stages.alignment.objective=next_token+foo", r"unknown objective 'foo'\. Known: "),
    (
        "stages.alignment.modalities=audio",
        r"unknown modality in stages\.alignment\.modalities 'audio'\. ",
    ),
    ('model.modalities={"picture":{}}', r"unknown modality 'picture'\. Known: audio"),
    ("model.llm.template=foo", r"unknown chat template 'foo'\. Known: "),
]


@pytest.mark.parametrize(("setting", "error"), UNKNOWN)
def test_an_unknown_name_is_told_before_anything_is_built(setting, error, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "resolve", lambda config: pytest.fail("looked at the weights"))
    with pytest.raises(PolysenseError, match=error):
        training.train(apply(tiny_config(tmp_path / "parts"), [setting]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_until_names_a_stage(tmp_path):
    config = tiny_config(tmp_path / "parts")
    check_names(config, "instruction")
    with pytest.raises(PolysenseError, match="did you mean 'instruction'"):
        check_names(config, "instructions")


@pytest.mark.parametrize("kind", ["input", "cross_attention", "llama_adapter", "visual_expert"])
def test_every_kind_of_interaction_is_known(kind, tmp_path):
    config = tiny_config(tmp_path / "parts")
    model = replace(config.model, fusion=replace(config.model.fusion, kind=kind))
    check_names(replace(config, model=model))
