"""Pictures: the laptop recipe's own, Tux Paint's stamps."""

from __future__ import annotations

import json
from pathlib import Path

from polysense.recipes.datasets.manifest_lines import Line
from polysense.recipes.laptop.weights import STAMPS, prepare_pictures
from polysense.recipes.package_registry import debian_package

PROVENANCE = {"image": "real: Tux Paint's stamps with their captions"}


def picture_lines(root: Path) -> list[Line]:
    """Return a line for each captioned stamp.

    A stamp's category is its folder; whether it is held out follows from its key and the recipe's
    share, as in the laptop recipe.
    """
    text = prepare_pictures(root).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def stamps_folder(root: Path) -> Path:
    """Return the folder of the stamps, which also holds their sounds."""
    return debian_package("tuxpaint-stamps-default", root / "packages") / STAMPS
