"""`polysense describe` prints the parts of a run, wherever its LLM lies; other folders are told."""

import shutil

from fixtures.command_line import fails, succeeds
from fixtures.tiny_model import save_llm


def test_parts_with_what_is_frozen(capsys, run):
    out = succeeds(capsys, "describe", run)
    assert "frozen" in out
    for part in ("encoder", "connector", "llm"):
        assert part in out


def test_missing_run(capsys, tmp_path):
    assert "does not exist" in fails(capsys, "describe", tmp_path / "nothing")


def test_an_llm_that_moved_is_found_by_its_option_and_another_one_is_refused(capsys, run, tmp_path):
    moved = shutil.copytree(run.parent / "tiny-parts/llm", tmp_path / "moved")
    assert "frozen" in succeeds(capsys, "describe", run, "--llm", moved)
    other = save_llm(tmp_path / "other", seed=9)
    assert "another llm" in fails(capsys, "describe", run, "--llm", other)


def test_a_file_for_the_routing_that_cannot_be_is_told_before_loading(capsys, run, tmp_path):
    error = fails(capsys, "describe", run, "--picture", tmp_path / "none/routing.png")
    assert "none" in error
