"""Fetching: what is there is not fetched again, and where apt is missing the error says what to do.

apt-get and dpkg are small scripts on the PATH that behave as the real ones do here.
"""

import os
import stat

import pytest

from polysense.errors import PolysenseError
from polysense.recipes import package_registry as packages


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Put scripts on the PATH, in place of everything there."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))

    def write(name, script):
        path = place / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    return write


def test_without_apt_the_error_names_the_way_out(tools, tmp_path):
    with pytest.raises(PolysenseError, match=r"apt-get and dpkg not found.*--data pictures\.jsonl"):
        packages.debian_package("thing", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_refusal_is_told_and_leaves_nothing(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tools("apt-get", 'echo "E: Unable to locate package thing" >&2; exit 100')
    tools("dpkg", "exit 0")
    with pytest.raises(PolysenseError, match=r"Unable to locate.*apt-get update"):
        packages.debian_package("thing", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_package_is_unpacked_once(tools, tmp_path):
    tools("apt-get", "echo content > thing_1.deb")
    tools("dpkg", 'read line < "$2"; echo "$line" > "$3/file"')
    folder = packages.debian_package("thing", tmp_path / "data")
    assert (folder / "file").read_text() == "content\n"
    tools("apt-get", "exit 1")
    assert packages.debian_package("thing", tmp_path / "data") == folder


def test_a_conversion_that_fails_leaves_nothing(tmp_path):
    def half(folder):
        (folder / "part").write_text("half")
        raise PolysenseError("stopped")

    with pytest.raises(PolysenseError, match="stopped"):
        packages.converted(tmp_path / "made", "Making", half)
    assert list(tmp_path.iterdir()) == []
