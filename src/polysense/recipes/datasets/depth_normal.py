"""Depth maps and normal maps: renderings of named meshes, what an ideal sensor would measure.

An object has a radius of 1 m and stands 2.6 to 3.4 m away, seen from the front and a little above.
Nothing is measured beside it. Held-out maps are of meshes that are not trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from polysense.recipes.datasets.manifest_lines import (
    Line,
    generator,
    placed_lines,
    sentence,
    with_article,
)
from polysense.recipes.datasets.meshes import load_meshes
from polysense.recipes.datasets.point import draws, mesh_line
from polysense.recipes.datasets.rendering import Pose, View, render

PROVENANCE = {
    "depth": "rendered: depth in mm of real meshes (Sweet Home 3D's furniture)",
    "normal": "rendered: surface normals of real meshes (Sweet Home 3D's furniture)",
}
SIZE = 128
PER_CLASS = 24


def depth_lines(root: Path) -> list[Line]:
    """Return a line for each depth map: 16-bit PNG in millimetres, 0 where nothing is."""
    return map_lines(root, "depth", encode_depth)


def normal_lines(root: Path) -> list[Line]:
    """Return a line for each normal map: RGB PNG of (n + 1) / 2, black where nothing is."""
    return map_lines(root, "normal", encode_normals)


def map_lines(root: Path, modality: str, encode: Callable[[View], Image.Image]) -> list[Line]:
    """Render the maps of one modality, from views of its own."""

    def write(inside: Path) -> list[Line]:
        lines = []
        for key, mesh in draws(load_meshes(root), PER_CLASS):
            pose = draw_pose(generator(f"{modality} {key}"))
            view = render(pose.apply(mesh.vertices), mesh.faces, SIZE)
            encode(view).save(inside / f"{key}.png")
            caption = sentence(f"a {modality} map of {with_article(mesh.category)}")
            lines.append(mesh_line(modality, f"{key}.png", caption, mesh, key))
        return lines

    return placed_lines(root, modality, f"Rendering {modality} maps", write)


def draw_pose(random: np.random.Generator) -> Pose:
    """Return a random stand: its front within 60 degrees, seen from 5 to 35 degrees above."""
    return Pose(
        yaw=random.uniform(-60, 60),
        pitch=random.uniform(5, 35),
        distance=random.uniform(2.6, 3.4),
        right=random.uniform(-0.15, 0.15),
        up=random.uniform(-0.15, 0.15),
    )


def encode_depth(view: View) -> Image.Image:
    """Metres -> whole millimetres in a picture of 16 bits."""
    return Image.fromarray(np.rint(view.depth * 1000).astype(np.uint16))


def encode_normals(view: View) -> Image.Image:
    """Unit normals -> (n + 1) / 2 in 8 bits; black is no direction, and read as background."""
    encoded = np.rint((view.normals + 1) / 2 * 255)
    return Image.fromarray(np.where(view.face[..., None] >= 0, encoded, 0).astype(np.uint8))
