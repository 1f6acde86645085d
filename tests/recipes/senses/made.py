"""A made-up cube, and a furniture library of coloured cubes, stored as the real ones are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from polysense.recipes.senses import meshes

# A cube of side 2: its corners and its twelve triangles, two a side: back, front, the others.
CORNERS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], dtype=np.float32)
TRIANGLES = np.array(
    [[0, 1, 2], [1, 2, 3], [4, 5, 6], [5, 6, 7], [0, 1, 4], [1, 4, 5],
     [2, 3, 6], [3, 6, 7], [0, 2, 4], [2, 4, 6], [1, 3, 5], [3, 5, 7]]
)  # fmt: skip


def cube(name: str = "cube", category: str = "box", held_out: bool = False) -> meshes.Mesh:
    """Return a cube in the unit sphere, whose front is red and whose other sides are blue."""
    colours = np.tile(np.uint8([0, 0, 255]), (12, 1))
    colours[2:4] = (255, 0, 0)
    vertices = CORNERS / np.sqrt(np.float32(3))
    return meshes.Mesh(name, category, held_out, vertices, TRIANGLES, colours)


def save_library(root: Path, names: list[str], stretched: bool = False) -> None:
    """Write the Debian package's folder below root/packages with one library, a cube a name;
    `stretched`, each is a little wider than the one before."""
    folder = root / "packages/sweethome3d-furniture" / meshes.LIBRARY
    folder.mkdir(parents=True)
    lines = ["# a comment", "id=Made", ""]
    with zipfile.ZipFile(folder / "Made.sh3f", "w") as archive:
        for number, name in enumerate(names, start=1):
            lines += [f"name#{number}={name}", f"model#{number}=/made/m{number}/m{number}.obj"]
            wide = 50 + 10 * number * stretched
            rows = [f"v {x * wide} {y * 50} {z * 50}" for x, y, z in CORNERS] + ["usemtl red"]
            rows += [f"f {a} {b} {c}" for a, b, c in TRIANGLES + 1]
            inside = f"made/m{number}/m{number}"
            archive.writestr(f"{inside}.obj", f"mtllib m{number}.mtl\n" + "\n".join(rows) + "\n")
            archive.writestr(f"{inside}.mtl", "newmtl red\nKd 1.0 0.0 0.0\n")
        archive.writestr(meshes.CATALOGUE, "\n".join(lines))
