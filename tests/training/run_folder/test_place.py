"""A run that cannot be written where it is to lie is told before any work."""

import os

import pytest
from fixtures.tiny_model import tiny_config

from polysense.errors import PolysenseError
from polysense.training import run as training
from polysense.training.run_folder.place import check_run_folder


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "build", lambda *_: pytest.fail("built before it was checked"))
    return tiny_config(tmp_path / "parts")


@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/run", "notes.txt/a/b/c"])
def test_a_file_is_no_run_folder_and_holds_none(config, tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PolysenseError, match=r"notes\.txt' is a file; give another --run"):
        training.train(config, tmp_path / name)
    assert (tmp_path / "notes.txt").read_text() == "x"


def test_a_broken_link_is_no_run_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(PolysenseError, match="is a file"):
        check_run_folder(tmp_path / "link")


def test_a_name_that_is_too_long_is_told(tmp_path):
    with pytest.raises(PolysenseError, match="name too long"):
        check_run_folder(tmp_path / ("a" * 300))


def test_a_folder_that_may_not_be_written_is_told(tmp_path, monkeypatch):
    def can(place, mode):
        return place != tmp_path or not mode & os.W_OK

    monkeypatch.setattr(os, "access", can)  # as for not root
    with pytest.raises(PolysenseError, match=f"{str(tmp_path)!r} may not be written"):
        check_run_folder(tmp_path / "runs/new")


def test_what_is_not_there_yet_will_be_made(tmp_path):
    check_run_folder(tmp_path / "runs/a/b")
    assert not list(tmp_path.iterdir())
