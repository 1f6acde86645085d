"""The data of `onellm-laptop`: all eight modalities in one manifest, from package registries alone.

Real wherever the registries have real data; where a modality is rendered or simulated, PROVENANCE
says so, and so does every place that shows its results.
"""

from __future__ import annotations

import json
from pathlib import Path

from polysense.atomic_write import write_text
from polysense.data.datasets import TEXT_KEYS
from polysense.recipes.datasets import audio as sounds
from polysense.recipes.datasets import audio_video as pairs
from polysense.recipes.datasets import depth_normal as views
from polysense.recipes.datasets import fmri as brain
from polysense.recipes.datasets import image as pictures
from polysense.recipes.datasets import imu as motion
from polysense.recipes.datasets import point as clouds
from polysense.recipes.datasets import video as videos
from polysense.recipes.datasets.manifest_lines import Line

MANIFEST = "senses.jsonl"

PROVENANCE: dict[str, str] = {
    **pictures.PROVENANCE,
    **videos.PROVENANCE,
    **sounds.PROVENANCE,
    **clouds.PROVENANCE,
    **views.PROVENANCE,
    **motion.PROVENANCE,
    **brain.PROVENANCE,
}


def prepare(folder: Path) -> Path:
    """Fetch and make what is missing below `folder`; returns the manifest of every modality.

    Each modality's files lie in folder/<modality>; lines that hold a video and a sound come last. A
    modality that is there is not made again.
    """
    moving, heard = videos.video_lines(folder), sounds.sound_lines(folder)
    lines = [
        *pictures.picture_lines(folder),
        *moving,
        *heard,
        *clouds.point_lines(folder),
        *views.depth_lines(folder),
        *views.normal_lines(folder),
        *motion.motion_lines(folder),
        *brain.brain_lines(folder),
        *pairs.pair_lines(moving, heard),
    ]
    manifest = folder / MANIFEST
    write_text(manifest, "".join(json.dumps(with_provenance(line)) + "\n" for line in lines))
    return manifest


def with_provenance(line: Line) -> Line:
    """Return a line that says as its source how real its signals are, and keeps as its group the
    thing that it is a signal of."""
    group = {"group": line["source"]} if {"source", "split"} <= line.keys() else {}
    return {
        **line,
        **group,
        "source": "; ".join(PROVENANCE[modality] for modality in modalities_of(line)),
    }


def modalities_of(line: Line) -> tuple[str, ...]:
    """Return the modalities a line holds signals of, in its own order."""
    return tuple(name for name in line if name not in TEXT_KEYS)


def labels(lines: list[Line]) -> dict[tuple[str, ...], list[str]]:
    """Return the class labels that lines of each modality, or of several at once, may have."""
    found: dict[tuple[str, ...], set[str]] = {}
    for line in lines:
        if category := line.get("category"):
            found.setdefault(modalities_of(line), set()).add(category)
    return {modalities: sorted(categories) for modalities, categories in found.items()}
