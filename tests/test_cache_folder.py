"""Where things are kept: as the user says, else where the desktop's convention puts them."""

from pathlib import Path

import pytest

from polysense.cache_folder import cache_folder, feature_folder
from polysense.errors import PolysenseError


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"POLYSENSE_CACHE": "/big/disk", "XDG_CACHE_HOME": "/xdg"}, "/big/disk"),
        ({"POLYSENSE_CACHE": "~/p"}, "/home/me/p"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/polysense"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/polysense"),
        ({}, "/home/me/.cache/polysense"),
    ],
)
def test_its_place_can_be_chosen(monkeypatch, variables, place):
    for name in ("POLYSENSE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(place)
    assert feature_folder() == Path(place) / "features"


def test_a_relative_place_stays_the_same_when_the_working_folder_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("POLYSENSE_CACHE", "near")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "near"


def test_a_file_is_no_place(monkeypatch, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path / "notes.txt"))
    with pytest.raises(PolysenseError, match="set POLYSENSE_CACHE to a folder"):
        cache_folder()
