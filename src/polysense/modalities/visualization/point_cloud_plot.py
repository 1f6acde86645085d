"""A point cloud as a picture for people: small shaded spheres, dark on light, paler with distance.

Drawn with NumPy alone, at twice the size and then reduced, which smooths the edges.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

PAPER = np.array([250.0, 250.0, 252.0])
INK = np.array([52.0, 84.0, 128.0])  # of a cloud whose points all have one colour
TURN, TILT = math.radians(35), math.radians(25)  # how the cloud is turned and seen from above
FOG = 0.55  # share of the paper's colour at the farthest point
LIGHT = np.array([-0.4, 0.6, 0.7])  # towards the light: left, up, to the viewer


def draw_cloud(cloud: np.ndarray, up: int, side: int = 256) -> Image.Image:
    """Draw a cloud [P, 6] (xyz in the unit sphere, rgb in 0..1), its axis `up` upright, at
    side x side pixels."""
    wide = 2 * side
    across, upright, depth = seen(cloud[:, :3], up)
    paint = colours(cloud[:, 3:], depth)
    radius = max(1, round(wide * 0.45 / math.sqrt(len(cloud))))
    rows, columns, shades = sphere(radius)
    scale = 0.46 * wide
    row = np.rint(wide / 2 - upright * scale).astype(np.int64)[:, None] + rows
    column = np.rint(wide / 2 + across * scale).astype(np.int64)[:, None] + columns
    # From far to near, a later point paints over an earlier one: of a pixel named many times
    # NumPy keeps the last value.
    order = np.argsort(depth, kind="stable")
    inside = (row >= 0) & (row < wide) & (column >= 0) & (column < wide)
    canvas = np.tile(PAPER, (wide * wide, 1))
    keep = inside[order]
    canvas[(row * wide + column)[order][keep]] = (paint[:, None] * shades[:, None])[order][keep]
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8).reshape(wide, wide, 3))
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def seen(xyz: np.ndarray, up: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn and tilt points [P, 3]; return them across, upwards and towards the viewer, each [P]."""
    # The two level axes in the order that keeps the frame right-handed.
    front, right, height = (xyz[:, (up + step) % 3] for step in (1, 2, 0))
    across = right * math.cos(TURN) - front * math.sin(TURN)
    towards = right * math.sin(TURN) + front * math.cos(TURN)
    upright = height * math.cos(TILT) - towards * math.sin(TILT)
    return across, upright, height * math.sin(TILT) + towards * math.cos(TILT)


def colours(rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return 8-bit colours [P, 3], mixed with the paper's the farther a point is."""
    plain = np.ptp(rgb, axis=0).max() < 0.01
    own = np.broadcast_to(INK, rgb.shape) if plain else 230 * rgb  # white stays visible on paper
    near = (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9)
    fog = FOG * (1 - near)[:, None]
    return own * (1 - fog) + PAPER * fog


def sphere(radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels of a small sphere: their rows and columns from its centre, and how bright
    the light makes each."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    rows, columns = rows.ravel(), columns.ravel()
    flat = (rows**2 + columns**2) / (radius + 0.5) ** 2
    rows, columns, flat = rows[flat <= 1], columns[flat <= 1], flat[flat <= 1]
    normal = np.stack([columns / (radius + 0.5), -rows / (radius + 0.5), np.sqrt(1 - flat)])
    return rows, columns, 0.72 + 0.4 * np.clip(LIGHT @ normal, 0, 1)
