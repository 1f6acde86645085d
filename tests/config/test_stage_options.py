"""Stages may have data of their own, or be left out; the config, and so the run, remembers it."""

from dataclasses import replace

import pytest

from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.config.stage_options import parse_data, with_stage_data, without_stages
from polysense.errors import PolysenseError

MODEL = ModelConfig(
    llm=LanguageModelConfig("llm"),
    encoder=EncoderConfig("transformers", "encoder"),
    connector=ConnectorConfig("mlp"),
    modalities={"image": {}},
)
STAGES = (Stage("alignment", ("connector",)), Stage("instruction", ("connector",)))
CONFIG = RunConfig("tiny", MODEL, DataConfig("/stamps.jsonl"), STAGES)


def test_data_are_the_runs_or_a_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.jsonl").touch()
    own, of_stages = parse_data(["a=b.jsonl", "alignment=x=y.json", "second=/z.tar"])
    assert own == str(tmp_path / "a=b.jsonl")
    assert of_stages == {"alignment": str(tmp_path / "x=y.json"), "second": "/z.tar"}
    assert parse_data([]) == (None, {})
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_data(["~/x", "s=~/y"]) == ("/home/me/x", {"s": "/home/me/y"})
    assert parse_data(["dir/a=b.jsonl"])[0] == str(tmp_path / "dir/a=b.jsonl")


@pytest.mark.parametrize(
    ("words", "error"),
    [(["a", "b"], "the run has data already"), (["s=a", "s=b"], "stage 's' has data already")],
)
def test_data_twice_are_refused(words, error):
    with pytest.raises(PolysenseError, match=error):
        parse_data(words)


def test_some_stages_have_their_own_and_the_rest_the_runs():
    config = replace(CONFIG, data=DataConfig("/own"))
    config = with_stage_data(config, "/own", {"instruction": "/talk"})
    assert config.data.manifest == "/own"
    assert [stage.data for stage in config.stages] == ["", "/talk"]
    assert with_stage_data(CONFIG, None, {}) == CONFIG


def test_every_stage_with_its_own_needs_no_more():
    config = with_stage_data(CONFIG, None, {"alignment": "/caps", "instruction": "/talk"})
    assert config.data.manifest == "/talk"
    assert [stage.data for stage in config.stages] == ["/caps", ""]
    one = with_stage_data(CONFIG, None, {"alignment": "/one", "instruction": "/one"})
    assert [stage.data for stage in one.stages] == ["", ""]


def test_a_stage_without_data_and_an_unknown_one_are_named():
    with pytest.raises(PolysenseError, match=r"stage 'instruction' has no data.*--skip-stage"):
        with_stage_data(CONFIG, None, {"alignment": "/caps"})
    with pytest.raises(PolysenseError, match="did you mean 'alignment'"):
        with_stage_data(CONFIG, "/own", {"alignmnt": "/caps"})


def test_stages_are_left_out():
    assert [s.name for s in without_stages(CONFIG, ["alignment"]).stages] == ["instruction"]
    assert without_stages(CONFIG, []) == CONFIG
    with pytest.raises(PolysenseError, match="did you mean 'alignment'"):
        without_stages(CONFIG, ["alignmnt"])
    with pytest.raises(PolysenseError, match="leaves no stage"):
        without_stages(CONFIG, ["alignment", "instruction"])
