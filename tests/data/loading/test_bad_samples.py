"""BadSamples signals are named once, and too many end the run.

In batches read as they are needed, another sample stands in (polysense.data.loading.batches).
"""

import io
import json
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_config
from rich.console import Console

from polysense.data.loading.bad_samples import BadSamples
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.data.prompts import samples_for
from polysense.errors import PolysenseError
from polysense.training.run import build, load_split, resolve
from polysense.types import Media


def unreadable(folder, total=10, share=0.2):
    return BadSamples(folder, total, share, Console(file=io.StringIO(), width=200))


def named(folder):
    lines = (folder / "bad-samples.jsonl").read_text().splitlines()
    return {line["file"]: line["error"] for line in map(json.loads, lines)}


def test_each_is_named_once_and_the_first_on_screen(tmp_path):
    bad = unreadable(tmp_path)
    bad.report({Media("image", "a.png"): "a.png is [broken]"})
    bad.report({Media("image", "a.png"): "a.png is [broken]", Media("image", "b.png"): "no file"})
    assert named(tmp_path) == {"a.png": "a.png is [broken]", "b.png": "no file"}
    assert len((tmp_path / "bad-samples.jsonl").read_text().splitlines()) == 2
    said = bad.console.file.getvalue()
    assert "the first: a.png is [broken]" in said
    assert "b.png" not in said


def test_an_earlier_part_of_the_run_is_kept_and_nothing_bad_leaves_no_file(tmp_path):
    unreadable(tmp_path).report({})
    assert not list(tmp_path.iterdir())
    for name in ("a.png", "b.png", "a.png"):
        unreadable(tmp_path).report({Media("image", name): "broken"})
    assert named(tmp_path) == {"a.png": "broken", "b.png": "broken"}


def test_too_many_end_the_run_and_are_named_all_the_same(tmp_path):
    bad = unreadable(tmp_path)
    bad.report({Media("image", "a.png"): "broken", Media("image", "b.png"): "broken"})
    with pytest.raises(PolysenseError, match=r"3 of 10 samples .* data\.max_bad_fraction=0\.2"):
        bad.report({Media("image", "c.png"): "broken"})
    assert sorted(named(tmp_path)) == ["a.png", "b.png", "c.png"]


@pytest.fixture
def parts(tmp_path):
    config = resolve(tiny_config(tmp_path / "parts"))
    model, processor = build(config)
    return samples_for("caption", load_split(config).train[:3], model.modalities), processor


def test_another_sample_of_the_batch_stands_in(parts, tmp_path):
    samples, processor = parts
    broken = samples[1].messages[0].parts[0].source
    bad = unreadable(tmp_path)
    Path(broken).write_bytes(Path(broken).read_bytes()[:20])
    data = TrainingData(samples, processor, "plain", None, report=bad.report)
    found = data.batch([SampleIndex(1, 0), SampleIndex(0, 0), SampleIndex(2, 0)])
    assert found["signals"]["image"].equal(
        data.batch([SampleIndex(0, 0), SampleIndex(0, 0), SampleIndex(2, 0)])["signals"]["image"]
    )
    assert found["input_ids"][0].equal(found["input_ids"][1])
    assert list(named(tmp_path)) == [str(broken)]
    assert [data.reads(index) for index in range(3)] == [True, False, True]
    with pytest.raises(PolysenseError, match="none of a batch of 1 samples can be read"):
        data.batch([SampleIndex(1, 0)])


def test_without_anyone_to_tell_it_is_an_error(parts):
    samples, processor = parts
    Path(samples[1].messages[0].parts[0].source).write_bytes(b"broken")
    with pytest.raises(PolysenseError, match="picture"):
        TrainingData(samples, processor, "plain", None).batch([SampleIndex(1, 0)])
