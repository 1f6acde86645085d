"""Every user's mistake is one line that says what to do, exit code 2, and nothing half-written.

The commands are polysense.cli.load_run. On a tiny run they exercise
polysense.evaluation.report.model_summary, polysense.training.stages, polysense.training.progress.metric_logger,
polysense.data.loading.bad_samples and polysense.training.validation.
"""

import json
import struct
import zlib
from pathlib import Path

import pytest
from fixtures.tiny_model import save_llm, save_pictures, tiny_config, tiny_run
from PIL import Image

from polysense import recipes
from polysense.cli.main import main
from polysense.training.run import load_split


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("cli") / "run")


@pytest.fixture
def tiny_recipe(monkeypatch, tmp_path):
    """A recipe called tiny, whose parts lie in tmp_path; the working folder is tmp_path too."""
    monkeypatch.chdir(tmp_path)

    def recipe(folder, manifest):
        config = tiny_config(tmp_path / "parts", steps_scale=0.3)
        if manifest:
            config = type(config)(**{**vars(config), "data": type(config.data)(manifest)})
        return config

    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)


def fails(capsys, *words):
    """Run a command that must fail; return its one line of error."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("polysense: ")]
    assert len(errors) == 1
    assert "Traceback" not in "".join(lines)
    return errors[0]


def succeeds(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def png_header(width, height):
    """A PNG file of these dimensions with hardly any content."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_truncated_png(capsys, run, tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    assert "damaged or cut short" in fails(capsys, "ask", run, tmp_path / "cut.png", "What?")


def test_bomb(capsys, run, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(100_000, 100_000))
    error = fails(capsys, "ask", run, tmp_path / "bomb.png", "What?")
    assert "bomb.png" in error
    assert "100000 x 100000" in error or "10000000000 pixels" in error


def test_text_named_png(capsys, run, tmp_path):
    (tmp_path / "text.png").write_text("I am no picture")
    assert "not a picture" in fails(capsys, "ask", run, tmp_path / "text.png", "What?")


def test_missing_picture_and_missing_question(capsys, run, tmp_path):
    assert "does not exist" in fails(capsys, "ask", run, tmp_path / "none.png", "What?")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert "no question" in fails(capsys, "ask", run, tmp_path / "a.png")


def test_examples_are_checked_and_shown(capsys, run, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    asked = ("ask", run, tmp_path / "a.png", "What?", "--example")
    assert "does not exist" in fails(capsys, *asked, tmp_path / "none.png", "A line.")
    succeeds(capsys, *asked, tmp_path / "a.png", "A line.", "--example", "2 + 2?", "4")


def test_missing_run(capsys, tmp_path):
    assert "does not exist" in fails(capsys, "describe", tmp_path / "nothing")


def test_unknown_recipe_names_the_known(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = fails(capsys, "train", "labtop")
    assert "did you mean 'laptop'" in error
    assert not list(tmp_path.iterdir())


def test_empty_and_missing_manifest(capsys, tiny_recipe, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "is empty" in fails(capsys, "train", "tiny", "--data", tmp_path / "empty.jsonl")
    assert "cannot be read" in fails(capsys, "train", "tiny", "--data", tmp_path / "no.jsonl")
    assert not (tmp_path / "runs").exists()


def test_a_bad_line_of_a_manifest_is_named(capsys, tiny_recipe, tmp_path):
    manifest = save_pictures(tmp_path / "p")
    lines = manifest.read_text().splitlines()
    for bad, words in (
        ('{"image": "00.png"}', "no caption"),
        ('{"image": "gone.png", "caption": "A."}', "does not exist"),
        ('{"image": "../../etc/passwd", "caption": "A."}', "outside"),
        ("{", "not JSON"),
        ('{"imagge": "00.png", "caption": "A."}', "unknown key 'imagge'"),
    ):
        manifest.write_text("\n".join([*lines[:3], bad]))
        error = fails(capsys, "train", "tiny", "--data", manifest)
        assert "line 4" in error
        assert words in error


def test_a_sense_of_ones_own_needs_its_file_and_its_data(capsys, tiny_recipe, tmp_path):
    assert "does not exist" in fails(capsys, "train", "tiny", "--modality", "heat.py")
    (tmp_path / "heat.py").write_text(
        "from polysense.modalities.image import ImageModality\n"
        "class Heat(ImageModality):\n    name = 'heat'\n"
    )
    assert "needs --data" in fails(capsys, "train", "tiny", "--modality", "heat.py")
    manifest = save_pictures(tmp_path / "p")
    error = fails(capsys, "train", "tiny", "--modality", "heat.py", "--data", manifest)
    assert "has no line of heat alone" in error
    assert not (tmp_path / "runs").exists()


def test_unknown_set_key_names_the_nearest(capsys, tiny_recipe, tmp_path):
    setting = "stages.alignment.learnin_rate=1"
    assert "did you mean 'learning_rate'" in fails(capsys, "train", "tiny", "--set", setting)
    assert "whole number" in fails(capsys, "train", "tiny", "--set", "seed=x")
    assert not (tmp_path / "runs").exists()


def test_llm_without_a_chat_template(capsys, tiny_recipe, tmp_path):
    bare = save_llm(tmp_path / "bare", template=False)
    setting = f"model.llm.name={bare}"
    assert "no chat template" in fails(capsys, "train", "tiny", "--set", setting)
    assert not (tmp_path / "runs").exists()


def test_checkpoint_of_another_llm(capsys, run, tmp_path):
    other = save_llm(tmp_path / "other", seed=9)
    assert "another llm" in fails(capsys, "describe", run, "--llm", other)


def test_a_bad_picture_in_training_is_named_and_left_out(capsys, tiny_recipe, tmp_path):
    tiny_config(tmp_path / "parts")
    (tmp_path / "parts/pictures/03.png").write_bytes(b"broken")
    succeeds(capsys, "train", "tiny")
    report = (tmp_path / "runs/tiny/bad-samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"].endswith("03.png") for line in report] == [True]


def test_bad_pictures_are_left_out_where_the_encoder_learns_too(capsys, tiny_recipe, tmp_path):
    config = tiny_config(tmp_path / "parts")
    held_out = load_split(config).held_out[0].media[0].source
    for path in (tmp_path / "parts/pictures/03.png", held_out):
        Path(path).write_bytes(b"broken")
    settings = (
        "data.max_bad_fraction=0.1",
        "stages.alignment.evaluate_forgetting=true",
        "stages.alignment.steps=9",
    )
    trainable = 'stages.alignment.trainable=["connector","encoder"]'
    words = [word for setting in (*settings, trainable) for word in ("--set", setting)]
    succeeds(capsys, "train", "tiny", *words)
    report = (tmp_path / "runs/tiny/bad-samples.jsonl").read_text().splitlines()
    named = {Path(json.loads(line)["file"]).name for line in report}
    assert named == {"03.png", Path(held_out).name}
    assert "2 of 24 samples" in fails(
        capsys, "train", "tiny", "--run", "other", *words, "--set", "data.max_bad_fraction=0.05"
    )


def test_too_many_bad_pictures_end_the_run(capsys, tiny_recipe, tmp_path):
    tiny_config(tmp_path / "parts")
    for index in range(5):
        (tmp_path / f"parts/pictures/{index:02d}.png").write_bytes(b"broken")
    assert "5 of 24 samples cannot be read" in fails(capsys, "train", "tiny")


def test_a_run_stops_after_a_stage_and_goes_on(capsys, tiny_recipe, tmp_path):
    assert "did you mean 'alignment'" in fails(capsys, "train", "tiny", "--stop-after", "alignmnt")
    first = tiny_config(tmp_path / "parts").stages[0].name
    assert "without --stop-after goes on" in succeeds(
        capsys, "train", "tiny", "--stop-after", first
    )
    folder = tmp_path / "runs/tiny"
    assert [path.name for path in (folder / "stages").iterdir()] == [first]
    assert not (folder / "model.safetensors").exists()
    succeeds(capsys, "train", "tiny")
    assert (folder / "model.safetensors").is_file()


def test_train_leaves_a_whole_run_and_the_other_commands_read_it(capsys, tiny_recipe, tmp_path):
    out = succeeds(capsys, "train", "tiny")
    assert "held-out samples of one sense" in out
    assert "polysense ask runs/tiny parts/pictures/" in out
    folder = tmp_path / "runs/tiny"
    for name in ("run.json", "config.json", "model.safetensors", "loss.png", "evaluation.json"):
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    (scored,) = json.loads((folder / "evaluation.json").read_text())["modalities"]
    assert page.count("data:image/jpeg") == len(scored["answers"]) == scored["held_out"]
    assert "http" not in page.replace("http-equiv", "")
    assert list(folder.glob("stages/alignment/tensorboard/*"))
    assert not list(folder.rglob(".writing*"))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    succeeds(capsys, "train", "tiny")
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert "3 held-out samples" in succeeds(capsys, "evaluate", folder, "--limit", "3")
    assert "2 held-out samples" in succeeds(capsys, "evaluate", folder, "--per-modality", "2")
    (scored,) = json.loads((folder / "evaluation.json").read_text())["modalities"]
    assert len(scored["answers"]) == 2
    assert "whole number from 0" in fails(capsys, "evaluate", folder, "--limit", "-1")
    assert "frozen" in succeeds(capsys, "describe", folder)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    assert succeeds(capsys, "ask", folder, tmp_path / "red.png", "What is this?") is not None
