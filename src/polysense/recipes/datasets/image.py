"""Images: Tux Paint's stamps (Debian), photographs and drawings with a caption each."""

from __future__ import annotations

import json
from pathlib import Path

from polysense.atomic_write import write_text
from polysense.data.duplicates.near import PICTURES, SIZE, groups_alike, picture_vector
from polysense.errors import PolysenseError
from polysense.modalities import ImageModality
from polysense.recipes.datasets.manifest_lines import Line
from polysense.recipes.package_registry import debian_package

PROVENANCE = {"image": "real: Tux Paint's stamps with their captions"}
MANIFEST, GROUPS = "pictures.jsonl", "picture-variants.json"
STAMPS = "usr/share/tuxpaint/stamps"


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


def prepare_pictures(folder: Path) -> Path:
    """Fetch the stamps and write their manifest; returns its path."""
    manifest = folder / MANIFEST
    lines = grouped(stamp_lines(stamps_folder(folder), folder), folder)
    write_text(manifest, "".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def stamp_lines(stamps: Path, root: Path) -> list[Line]:
    """Return a manifest line for each stamp that has a caption; pictures stored twice, once.

    Drawings (SVG) are taken where there is no PNG of the same name.
    """
    lines, seen = [], set()
    for picture in sorted([*stamps.rglob("*.png"), *stamps.rglob("*.svg")]):
        text = picture.with_suffix(".txt")
        caption = first_line(text) if text.is_file() else ""
        if picture.suffix == ".svg" and picture.with_suffix(".png").is_file():
            continue
        content = picture.read_bytes()
        if not caption or content in seen:
            continue
        seen.add(content)
        place = picture.relative_to(stamps)
        lines.append(
            {
                "image": picture.relative_to(root).as_posix(),
                "caption": caption,
                "category": place.parent.as_posix(),
                "key": place.as_posix(),
                "source": "stamps",
            }
        )
    return lines


def grouped(lines: list[Line], root: Path) -> list[Line]:
    """Give variants of one drawing a group, and leave out what cannot be read.

    The groups are found once and kept beside the manifest.
    """
    kept = root / GROUPS
    if kept.is_file():
        groups = json.loads(kept.read_text(encoding="utf-8"))
    else:
        groups = drawing_groups(lines, root)
        write_text(kept, json.dumps(groups, indent=1) + "\n")
    return [{**line, "group": groups[line["key"]]} for line in lines if line["key"] in groups]


def drawing_groups(lines: list[Line], root: Path) -> dict[str, str]:
    """Return {key: key of the first that looks alike once decoded} of what can be read.

    A drawing that refers to a file beside it cannot: nothing that a file names is opened.
    """
    modality, vectors, keys = ImageModality(size=4 * SIZE), [], []
    for line in lines:
        try:
            pixels = modality.read(str(root / line["image"]))
        except PolysenseError:
            continue
        vectors.append(picture_vector(pixels.numpy()))
        keys.append(line["key"])
    groups = groups_alike(vectors, PICTURES)
    return {key: keys[first] for key, first in zip(keys, groups, strict=True)}


def first_line(path: Path) -> str:
    """Return a stamp's English caption: the first line of its text, with plain quotes."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    caption = lines[0].strip() if lines else ""
    for fancy, plain in (("“", '"'), ("”", '"'), ("’", "'"), ("—", ", "), ("…", "...")):
        caption = caption.replace(fancy, plain)
    return " ".join(caption.split())
