"""`polysense evaluate` scores a run anew: a glance is not kept, a smaller set of samples is."""

import json
import shutil

from fixtures.command_line import fails, succeeds


def test_a_glance_is_not_saved_and_fewer_of_each_modality_are(capsys, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    assert "3 held-out samples" in succeeds(capsys, "evaluate", folder, "--limit", "3")
    assert not (folder / "evaluation.json").exists()
    assert "2 held-out samples" in succeeds(capsys, "evaluate", folder, "--per-modality", "2")
    (scored,) = json.loads((folder / "evaluation.json").read_text())["modalities"]
    assert len(scored["answers"]) == 2
    assert (folder / "report.html").is_file()


def test_counts_that_cannot_be_are_told(capsys, run):
    assert "whole number from 0" in fails(capsys, "evaluate", run, "--limit", "-1")
    assert "whole number from 0" in fails(capsys, "evaluate", run, "--per-modality", "few")
