"""A renderer in NumPy: what a camera sees of a mesh, as depth, normals and faces.

Camera space: x to the right, y upwards, z towards the viewer, the camera at the origin. Triangles
are cut into rows of pixels and rows into pixels, all of a mesh at once; of the pixels at one place
the nearest wins (a z-buffer). Perspective is exact: 1 / depth is linear over a triangle's picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polysense.errors import PolysenseError

FIELD_OF_VIEW = 45.0  # degrees
NEAR = 0.05  # metres
LIGHT = np.array([0.4, 0.6, 0.7]) / np.linalg.norm([0.4, 0.6, 0.7])


@dataclass(frozen=True)
class Pose:
    """How an object stands before the camera: angles in degrees, lengths in metres.

    It is turned by `yaw` about its upright axis (its near side goes right), tipped by `pitch`
    towards the viewer, rolled counterclockwise as seen, and put `distance` away.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 3.0
    right: float = 0.0
    up: float = 0.0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points [P, 3] of the object -> camera space [P, 3], float32."""
        y, p, r = np.radians([self.yaw, self.pitch, self.roll])
        about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
        about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
        about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
        turn = np.array(about_z) @ np.array(about_x) @ np.array(about_y)
        return (points @ turn.T + [self.right, self.up, -self.distance]).astype(np.float32)


@dataclass(frozen=True)
class View:
    """What the camera sees: depth [S, S] in metres along its axis, 0 where there is nothing;
    unit normals [S, S, 3] in camera space, towards the camera; face [S, S], -1 for nothing."""

    depth: np.ndarray
    normals: np.ndarray
    face: np.ndarray


def render(points: np.ndarray, faces: np.ndarray, size: int) -> View:
    """Look at a mesh with points [V, 3] in camera space and faces [F, 3], from both sides alike.

    PolysenseError where a point is not in front of the camera.
    """
    nearest = float(-points[:, 2].max()) if len(points) else np.inf
    if nearest < NEAR:
        raise PolysenseError(f"a mesh comes to {nearest:.2f} m; the camera sees from {NEAR} m on")
    inverse = -1.0 / points[:, 2]  # 1 / depth
    focal = size / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    screen = size / 2 + focal * inverse[:, None] * points[:, :2] * [1, -1]
    corners = screen[faces.T]  # [3, F, 2]: the short axis first is several times as fast
    owner, column, row = covered_pixels(corners, size)
    value = inverse_at(corners, inverse[faces.T], owner, column, row)

    place = row * size + column
    best = np.zeros(size * size)
    np.maximum.at(best, place, value)
    face = np.full(size * size, -1)
    won = value == best[place]
    face[place[won]] = owner[won]
    depth = np.divide(1.0, best, out=np.zeros_like(best), where=face >= 0)
    normals = np.zeros((size * size, 3))
    normals[face >= 0] = facing_normals(points[faces[face[face >= 0]]])
    return View(
        depth.reshape(size, size).astype(np.float32),
        normals.reshape(size, size, 3).astype(np.float32),
        face.reshape(size, size),
    )


def covered_pixels(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (triangle, column, row) of each pixel whose centre lies in a triangle [3, F, 2]."""
    y = corners[..., 1]
    triangle, row = spans(y.min(axis=0), y.max(axis=0), size)
    start = corners[:, triangle]  # three edges for each row of a triangle: [3, R, 2]
    way = start[[1, 2, 0]] - start
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (row + 0.5 - start[..., 1]) / way[..., 1]  # where the row's line cuts each edge
        cut = start[..., 0] + share * way[..., 0]
    crossed = (share >= 0) & (share <= 1)  # false for level edges: NaN or infinite
    left = np.where(crossed, cut, np.inf).min(axis=0)
    right = np.where(crossed, cut, -np.inf).max(axis=0)
    strip, column = spans(left, right, size)
    return triangle[strip], column, row[strip]


def spans(low: np.ndarray, high: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (index of the interval, pixel) for all pixel centres in intervals [low, high]."""
    first = np.ceil(np.clip(low, 0, size) - 0.5).clip(0, size).astype(np.int64)
    last = np.floor(np.clip(high, 0, size) - 0.5).clip(-1, size - 1).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    index = np.repeat(np.arange(len(count)), count)
    return index, first[index] + np.arange(len(index)) - (np.cumsum(count) - count)[index]


def inverse_at(
    corners: np.ndarray, inverse: np.ndarray, owner: np.ndarray, column: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Interpolate 1 / depth from corners [3, F, 2], where it is [3, F], to pixels [pixels]."""
    (one_x, one_y), (two_x, two_y) = (corners[1:] - corners[0]).transpose(0, 2, 1)
    rise_one, rise_two = inverse[1:] - inverse[0]
    area = one_x * two_y - one_y * two_x
    area = np.where(np.abs(area) > 1e-9, area, np.inf)  # a mere line: flat
    slope_x = (rise_one * two_y - rise_two * one_y) / area
    slope_y = (rise_two * one_x - rise_one * two_x) / area
    base = inverse[0] - slope_x * corners[0, :, 0] - slope_y * corners[0, :, 1]
    value = base[owner] + slope_x[owner] * (column + 0.5) + slope_y[owner] * (row + 0.5)
    # Slivers have wild slopes; no pixel is nearer or farther than the triangle's corners.
    return np.clip(value, inverse.min(axis=0)[owner], inverse.max(axis=0)[owner])


def facing_normals(corners: np.ndarray) -> np.ndarray:
    """Return unit normals [F, 3] of triangles [F, 3, 3], on the side that faces the camera."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    away = (normals * corners[:, 0]).sum(axis=1) > 0
    normals = np.where(away[:, None], -normals, normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def shade(view: View, colours: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Paint a view with the faces' colours [F, 3] under one lamp; returns uint8 [S, S, 3]."""
    lit = 0.45 + 0.55 * np.clip(view.normals @ LIGHT, 0, 1)
    painted = colours[view.face] * lit[..., None]
    return np.where((view.face >= 0)[..., None], painted, background).clip(0, 255).astype(np.uint8)
