"""`polysense train` and `demo`: mistakes are told before any download, runs go on as they began.

The tiny runs go through polysense.cli.load_run too, and exercise
polysense.evaluation.report.model_summary.
"""

import json
from pathlib import Path

import pytest
from fixtures.command_line import fails, succeeds
from fixtures.tiny_model import save_llm, save_pictures, tiny_config

from polysense.cli.main import build_parser
from polysense.cli.train import config_of
from polysense.recipes import fetching
from polysense.training.run import load_split

pytestmark = pytest.mark.usefixtures("tiny_recipe")


def test_unknown_recipe_names_the_known(capsys, tmp_path):
    error = fails(capsys, "train", "labtop")
    assert "did you mean 'laptop'" in error
    assert "Name a recipe" in fails(capsys, "train")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "stages.alignment.learnin_rate=1"], "did you mean 'learning_rate'"),
        (["--set", "seed=x"], "whole number"),
        (["--set", "model.connector.kind=mpl"], "did you mean 'mlp'"),
        (["--set", "stages.alignment.task=captoin"], "did you mean 'caption'"),
        (["--stop-after", "alignmnt"], "did you mean 'alignment'"),
        (["--skip-stage", "alignmnt"], "unknown stage in --skip-stage"),
        (["--skip-stage", "alignment", "--skip-stage", "instruction"], "leaves no stage"),
        (["--data", "alignmnt=own.jsonl", "--data", "own.jsonl"], "unknown stage in --data"),
        (["--data", "own.jsonl"], "cannot be read"),
        (["--data", "a.jsonl", "--data", "b.jsonl"], "the run has data already"),
        (["--modality", "imge"], "did you mean 'image'"),
        (["--modality", "heat.py"], "does not exist"),
        (["--run", "file.txt"], "is a file"),
    ],
)
def test_mistakes_are_told_before_any_download(capsys, tmp_path, monkeypatch, words, message):
    def fetch(*_):
        raise AssertionError("fetched before the mistake was told")

    monkeypatch.setattr(fetching, "fetch_missing", fetch)
    (tmp_path / "file.txt").touch()
    assert message in fails(capsys, "train", "tiny", *words)
    assert not (tmp_path / "runs").exists()


def test_empty_manifest(capsys, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "is empty" in fails(capsys, "train", "tiny", "--data", tmp_path / "empty.jsonl")
    assert not (tmp_path / "runs").exists()


def test_a_bad_line_of_a_manifest_is_named(capsys, tmp_path):
    manifest = save_pictures(tmp_path / "p")
    lines = manifest.read_text().splitlines()
    for bad, message in (
        ('{"image": "00.png"}', "no caption"),
        ('{"image": "gone.png", "caption": "A."}', "does not exist"),
        ('{"image": "../../etc/passwd", "caption": "A."}', "outside"),
        ("{", "not JSON"),
        ('{"imagge": "00.png", "caption": "A."}', "unknown key 'imagge'"),
    ):
        manifest.write_text("\n".join([*lines[:3], bad]))
        error = fails(capsys, "train", "tiny", "--data", manifest)
        assert "line 4" in error
        assert message in error


def test_a_modality_of_ones_own_needs_its_file_and_its_data(capsys, tmp_path):
    (tmp_path / "heat.py").write_text(
        "from polysense.modalities.image import ImageModality\n"
        "class Heat(ImageModality):\n    name = 'heat'\n"
    )
    assert "needs --data" in fails(capsys, "train", "tiny", "--modality", "heat.py")
    manifest = save_pictures(tmp_path / "p")
    error = fails(capsys, "train", "tiny", "--modality", "heat.py", "--data", manifest)
    assert "has no line of heat alone" in error
    assert not (tmp_path / "runs").exists()


def test_llm_without_a_chat_template(capsys, tmp_path):
    bare = save_llm(tmp_path / "bare", template=False)
    setting = f"model.llm.name={bare}"
    assert "no chat template" in fails(capsys, "train", "tiny", "--set", setting)
    assert not (tmp_path / "runs").exists()


def test_the_demo_is_a_training_with_a_recipe_and_a_folder_already_chosen(capsys, tmp_path):
    parse = build_parser().parse_args
    demo = parse(["demo"])
    assert (demo.recipe, demo.run) == ("onellm-laptop", "runs/demo")
    assert demo.act is parse(["train", "laptop"]).act
    assert config_of(demo, tmp_path / "cache").recipe == "onellm-laptop"
    succeeds(capsys, "demo", "tiny", "--run", "r", "--set", "seed=1", "--stop-after", "alignment")
    assert json.loads((tmp_path / "r/run.json").read_text())["seed"] == 1


def test_data_of_ones_own_take_the_place_of_the_recipes(tmp_path):
    manifest = save_pictures(tmp_path / "p")

    def config(*words):
        return config_of(build_parser().parse_args(["train", *map(str, words)]), tmp_path)

    assert config("laptop", "--data", manifest).data.manifest == str(manifest)
    first = f"alignment={manifest}"
    ours = config("tiny", "--data", first, "--data", manifest)
    assert [stage.data for stage in ours.stages] == ["", ""]  # the run's own, under two names
    other = save_pictures(tmp_path / "q")
    ours = config("tiny", "--data", first, "--data", other)
    assert [stage.data for stage in ours.stages] == [str(manifest), ""]
    assert ours.data.manifest == str(other)


def test_unreadable_samples_are_named_and_left_out(capsys, tmp_path):
    tiny_config(tmp_path / "parts")
    (tmp_path / "parts/pictures/03.png").write_bytes(b"broken")
    succeeds(capsys, "train", "tiny")
    report = (tmp_path / "runs/tiny/bad-samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"].endswith("03.png") for line in report] == [True]


def test_unreadable_samples_are_left_out_where_the_encoder_is_trained_too(capsys, tmp_path):
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


def test_too_many_unreadable_samples_end_the_run(capsys, tmp_path):
    tiny_config(tmp_path / "parts")
    for index in range(5):
        (tmp_path / f"parts/pictures/{index:02d}.png").write_bytes(b"broken")
    assert "5 of 24 samples cannot be read" in fails(capsys, "train", "tiny")


def test_a_run_stops_after_a_stage_and_goes_on_by_its_folder_alone(capsys, tmp_path):
    out = succeeds(capsys, "train", "tiny", "--stop-after", "alignment")
    assert "without --stop-after goes on" in out
    folder = tmp_path / "runs/tiny"
    assert [path.name for path in (folder / "stages").iterdir()] == ["alignment"]
    assert not (folder / "model.safetensors").exists()
    begun = (folder / "run.json").read_bytes()
    refused = fails(capsys, "train", "tiny", "--set", "seed=5")
    assert "seed is 0 there and 5 here" in refused
    assert "need a recipe" in fails(capsys, "train", "--run", folder, "--data", "x.jsonl")
    succeeds(capsys, "train", "--run", folder)
    assert (folder / "model.safetensors").is_file()
    assert (folder / "run.json").read_bytes() == begun


def test_a_finished_run_is_left_as_it_is(capsys, tmp_path):
    out = succeeds(capsys, "train", "tiny")
    assert "held-out samples of one modality" in out
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


def test_two_sets_of_conversations_train_a_stage_each_and_the_run_goes_on(capsys, tmp_path):
    """LLaVA's form: no captions to score, which is said; tasks that the data changed are the
    run's, so that the same command continues it."""
    images = save_pictures(tmp_path / "own", 12)
    lines = [json.loads(line) for line in images.read_text().splitlines()]
    for name, question in (("captions", "<image>\nDescribe it."), ("talks", "<image>\nWhat?")):
        items = [
            {
                "image": line["image"],
                "conversations": [
                    {"from": "human", "value": question},
                    {"from": "gpt", "value": line["caption"]},
                ],
                "split": side,
            }
            for line, side in zip(lines, ["test", *["train"] * 11], strict=True)
        ]
        (tmp_path / f"own/{name}.json").write_text(json.dumps(items))
    words = ["train", "tiny", "--run", "run", "--data", "alignment=own/captions.json"]
    assert "stage 'instruction' has no data" in fails(capsys, *words)
    words += ["--data", "instruction=own/talks.json"]
    succeeds(capsys, *words, "--stop-after", "alignment")
    assert "Nothing to evaluate" in succeeds(capsys, *words)
    stages = json.loads((tmp_path / "run/run.json").read_text())["stages"]
    assert [stage["task"] for stage in stages] == ["answer", "instruction"]
    assert stages[0]["data"].endswith("own/captions.json")
    assert "Nothing to evaluate" in succeeds(capsys, "train", "--run", "run")
    assert "Nothing to evaluate" in succeeds(capsys, "evaluate", "run")
    skip = ["train", "tiny", "--run", "short", "--data", "own/talks.json", "--skip-stage"]
    assert "Nothing to evaluate" in succeeds(capsys, *skip, "alignment")
    stages = json.loads((tmp_path / "short/run.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["instruction"]
