"""Point clouds: samples of the surfaces of named meshes, as a scanner would leave them.

Each cloud is turned about the upright axis, stretched by up to a tenth, loses one side of up to a
fifth of its points, and is noisy; so no two clouds of a mesh are alike. Held-out clouds are of
meshes that are not trained on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from polysense.recipes.datasets.manifest_lines import (
    Line,
    generator,
    placed_lines,
    sentence,
    split_name,
    with_article,
)
from polysense.recipes.datasets.meshes import Mesh, load_meshes
from polysense.recipes.datasets.rendering import Pose

PROVENANCE = {
    "point": "real: meshes of Sweet Home 3D's furniture, made by people; points sampled from them"
}
POINTS = 2048
PER_CLASS = 24
NOISE = 0.01  # standard deviation, of the radius
CROPPED = 0.2  # at most this share of the points is lost


def point_lines(root: Path) -> list[Line]:
    """Return a line for each cloud: npy float32 [POINTS, 6], x y z (y up) and colours in 0..1."""

    def write(inside: Path) -> list[Line]:
        lines = []
        for key, mesh in draws(load_meshes(root), PER_CLASS):
            np.save(inside / f"{key}.npy", sample_cloud(mesh, generator(f"point {key}")))
            caption = sentence(f"a point cloud of {with_article(mesh.category)}")
            lines.append(mesh_line("point", f"{key}.npy", caption, mesh, key))
        return lines

    return placed_lines(root, "point", "Sampling point clouds", write)


def draws(meshes: list[Mesh], per_class: int) -> list[tuple[str, Mesh]]:
    """Return `per_class` draws of each class, (key, mesh), going round the class's meshes."""
    drawn = []
    for category in sorted({mesh.category for mesh in meshes}):
        members = [mesh for mesh in meshes if mesh.category == category]
        for number in range(per_class):
            drawn.append((f"{category}-{number:02d}", members[number % len(members)]))
    return drawn


def mesh_line(modality: str, path: str, caption: str, mesh: Mesh, key: str) -> Line:
    """Return the line of a signal made from a mesh, whose class is the label."""
    return {
        modality: path,
        "caption": caption,
        "category": mesh.category,
        "key": f"{modality}/{key}",
        "split": split_name(mesh.held_out),
        "source": f"mesh {mesh.name}",
    }


def sample_cloud(mesh: Mesh, random: np.random.Generator) -> np.ndarray:
    """Scan a mesh: float32 [POINTS, 6]."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    # Drawn with what a crop takes away on top.
    count = round(POINTS / (1 - random.uniform(0, CROPPED)))
    seed = int(random.integers(2**31))
    places, face, *_ = trimesh.sample.sample_surface(surface, count, seed=seed)
    direction = random.normal(size=3) * [1, 0.3, 1]  # a scanner misses a side, seldom the top
    kept = np.argsort(places @ direction)[:POINTS]
    stretched = places[kept] * random.uniform(0.9, 1.1, size=3)
    turned = Pose(yaw=random.uniform(0, 360), distance=0).apply(stretched)
    noisy = turned + random.normal(scale=NOISE, size=turned.shape)
    return np.hstack([noisy, mesh.colours[face[kept]] / 255]).astype(np.float32)
