"""The end of a run: its report, and the command that asks it again."""

import shlex
from dataclasses import replace

import pytest

from polysense.cli.show_result import asking_again, nothing_to_evaluate
from polysense.errors import PolysenseError
from polysense.evaluation.result import Evaluation, File, ModalityResult, Prediction
from polysense.training.run_folder.contents import read_run


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [({"image": {}}, "my shapes/a.png"), ({"image": {}, "imu": {}}, "image:my shapes/a.png")],
)
def test_asking_again_quotes_files_and_names_the_modality_among_several(
    run, tmp_path, monkeypatch, modalities, expected
):
    monkeypatch.chdir(tmp_path)
    file = File("image", str(tmp_path / "my shapes/a.png"))
    answer = Prediction("a", (file,), "A line.", "A line.", "", True, 1)
    modality = ModalityResult("image", 1, 1, 1, False, {}, (), (answer,))
    config = read_run(run)
    config = replace(config, model=replace(config.model, modalities=modalities))
    said = asking_again(Evaluation((modality,), (), ""), tmp_path / "a run", config)
    question = config.evaluation.question
    assert shlex.split(said)[1:] == ["ask", str(tmp_path / "a run"), expected, question]


def test_a_run_without_captions_says_where_its_losses_are(tmp_path):
    said = nothing_to_evaluate(tmp_path / "a run", PolysenseError("no captions"))
    assert said.startswith("Nothing to evaluate: no captions\n")
    assert f"{tmp_path}/a run/stages" in said
    assert f"'{tmp_path}/a run' FILE" in said
