"""Colours of an OFF mesh, which trimesh leaves out: COFF's of its vertices, or those behind faces.

A colour is three or four numbers, whole from 0 to 255 or with a point from 0 to 1. Specification:
Geomview's manual, section "OFF Files".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from polysense.errors import PolysenseError

UNREAD = ("4OFF", "4nOFF", "nOFF")  # coordinates of more than three dimensions


def add_off_colours(mesh: Any, data: bytes, name: str) -> None:
    """Give `mesh`, read from the OFF file `data`, the file's colours, if it has some.

    Raises PolysenseError where they are of faces with more than three corners, which trimesh cuts
    into triangles, and where coordinates are not of three dimensions.
    """
    lines = rows(data)
    head = lines[0][0]
    if head.endswith(UNREAD):
        raise PolysenseError(f"{name} is of kind {head}, which is not read: save it as OFF or PLY")
    counts = lines[0][1:] or lines[1]
    first = 1 if lines[0][1:] else 2
    faces_at = first + int(counts[0])
    vertices, faces = lines[first:faces_at], lines[faces_at : faces_at + int(counts[1])]
    if "C" in head:  # x y z, a normal (N), the colour, a place in a texture (ST)
        start, behind = 6 if "N" in head else 3, 2 if "ST" in head else 0
        colours = as_bytes([row[start : len(row) - behind] for row in vertices])
        if colours is not None:
            mesh.visual.vertex_colors = colours
        return
    of_faces = as_bytes([row[int(row[0]) + 1 :] for row in faces])
    if of_faces is None:
        return
    if len(mesh.faces) != len(of_faces):
        raise PolysenseError(
            f"{name} has colours on faces of more than three corners, which are not read: cut them "
            "into triangles, or save it as PLY"
        )
    mesh.visual.face_colors = of_faces


def rows(data: bytes) -> list[list[str]]:
    """Return the words of each line that has some, without comments."""
    lines = data.decode("utf-8", errors="replace").splitlines()
    return [words for line in lines if (words := line.partition("#")[0].split())]


def as_bytes(colours: list[list[str]]) -> np.ndarray | None:
    """Return colours [n, 3 or 4] as whole numbers from 0 to 255; None where any row has none."""
    lengths = {len(colour) for colour in colours}
    if len(lengths) != 1 or not lengths <= {3, 4}:
        return None
    values = np.array(colours, dtype=np.float64)
    whole = all(word.isdigit() for colour in colours for word in colour)
    return np.clip(values if whole else values * 255, 0, 255).round().astype(np.uint8)
