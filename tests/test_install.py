"""What is installed: exact versions that every supported Python can have, and torch apart.

The Makefile is asked what it would do (make -n); nothing is installed here.
"""

import os
import re
import shutil
import subprocess
import tomllib
import warnings
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN_BUILDS = {"torch", "triton", "setuptools"}  # torch and what comes with its builds


def pins() -> dict[str, str]:
    """The lock: {name: version}; whatever is no exact version fails."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in entries}


def direct() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for part in (PROJECT["dependencies"], *extras) for text in part]


def needed() -> set[str]:
    """Every package that an installation has, by the metadata of those that are installed."""
    found, left = set(), [requirement.name for requirement in direct()]
    while left:
        name = canonicalize_name(left.pop())
        if name in found or name in OWN_BUILDS or name.startswith(("nvidia-", "cuda-")):
            continue
        found.add(name)
        try:
            inner = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # an optional build, of another machine
            continue
        left += [r.name for r in inner if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def test_the_lock_has_exact_versions_of_all_but_torch():
    assert needed() <= set(pins())
    assert not OWN_BUILDS & set(pins())


def test_the_lock_lies_in_the_ranges_of_pyproject():
    locked = pins()
    for requirement in direct():
        if requirement.name not in OWN_BUILDS:
            assert locked[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_python_that_we_support_can_install_the_lock():
    (oldest,) = re.findall(r"[\d.]+", PROJECT["requires-python"])
    for name, version in pins().items():
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            continue
        if metadata["Version"] == version:  # `make test-newest` has others
            assert f"{oldest}.0" in SpecifierSet(metadata["Requires-Python"] or ""), name


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with what `make install` reads, where it was done a while ago."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    for name in ("TORCH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (1000, 1000))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed").write_text("\n")
    return tmp_path


def planned(clone, *words):
    """What make would run."""
    command = ["make", "-n", "--no-print-directory", *words]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    return done.stdout


def test_installing_takes_the_lock_and_is_done_once(clone):
    assert "pip install" not in planned(clone, "install")
    os.utime(clone / "constraints.txt")  # it has changed since
    again = planned(clone, "install")
    assert "-c constraints.txt" in again
    assert '"torch==' in again
    assert ".[laptop,dev]" in again


def test_a_torch_of_ones_own_is_kept(clone):
    theirs = planned(clone, "install", "TORCH=torch==2.11.0")
    assert '"torch==2.11.0"' in theirs
    assert 'echo "torch==2.11.0" > .venv/.installed' in theirs
    (clone / ".venv/.installed").write_text("torch==2.11.0\n")
    assert "pip install" not in planned(clone, "test")
    os.utime(clone / "constraints.txt")
    assert '"torch==2.11.0"' in planned(clone, "test")


def test_the_newest_are_tested_in_a_place_of_their_own(clone):
    newest = planned(clone, "test-newest")
    assert "constraints.txt" not in newest
    assert ".venv/" not in newest
    assert "-m pytest" in newest


@pytest.mark.parametrize(
    ("category", "module"),
    [
        (FutureWarning, "torch.nn.modules.module"),  # of our call of a module
        (DeprecationWarning, "polysense.model.llm.load"),
        (DeprecationWarning, "test_install"),
    ],
)
def test_what_we_still_ask_for_and_will_be_taken_away_fails(category, module):
    with pytest.raises(category):
        warnings.warn_explicit("will be removed", category, "file.py", 1, module=module)
