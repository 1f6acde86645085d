"""Point clouds: a scan or a mesh becomes 8,192 points, and these become tokens of their regions.

As in OneLLM (arXiv 2312.03700, appendix): centres by farthest-point sampling, the nearest points of
each, one 1x1 convolution of their raw values, and the maximum over each neighbourhood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality, caption_prompt
from polysense.modalities.readers.npy import load_arrays
from polysense.modalities.readers.point_cloud.cloud import (
    GREY,
    Cloud,
    Reading,
    from_matrix,
    unit_colours,
)
from polysense.modalities.readers.point_cloud.formats import (
    has_point_columns,
    las_rows,
    pcd_rows,
    ply_elements,
    ply_rows,
    read_rows,
)
from polysense.modalities.readers.point_cloud.mesh import read_mesh
from polysense.modalities.readers.point_cloud.text import read_text
from polysense.modalities.sources.file_checks import file_bytes, one_line_errors, source_name
from polysense.modalities.transforms.farthest_points import (
    farthest_points,
    gather_points,
    largest,
    nearest,
)
from polysense.modalities.visualization.point_cloud_plot import draw_cloud

ROWS = {".pcd": pcd_rows, ".las": las_rows}
TEXTS = (".xyz", ".txt", ".pts", ".csv", ".asc")
ARRAYS = (".npy", ".npz")
MESHES = (".obj", ".stl", ".off", ".glb", ".gltf")
COORDINATES = ("points", "xyz")  # arrays of an .npz
COLOURS = ("colors", "colours", "color", "colour", "rgb")
COLUMNS = {"xyz": slice(0, 3), "rgb": slice(3, 6)}


@dataclass(frozen=True)
class PointModality(Modality):
    """A cloud as [points, 6]: x y z, centred on the mean and scaled into the unit sphere, then
    red green blue in 0..1; points without a colour are grey 0.4 (as in OpenShape).

    More points than `points` are thinned at random, fewer are repeated in order; both, and the
    sampling of meshes, are the same for the same file.

    groups       regions of the cloud, one token each (the release; the paper has 512)
    neighbours   points of a region
    fps_columns  what regions are made of: "xyz", or "rgb", which the published OneLLM checkpoint
                 was trained with (by its colours a grey cloud is one single region)
    up           the axis that points up: y in glTF and Objaverse, z in most scans
    """

    name = "point"
    extensions = ("ply", "pcd", "las", "xyz", "pts", "obj", "stl", "off", "glb", "gltf")
    shared_endings = ("txt", "csv", "asc", "npy", "npz")

    points: int = 8192
    groups: int = 1024
    neighbours: int = 32
    fps_columns: Literal["xyz", "rgb"] = "xyz"
    up: Literal["x", "y", "z"] = "y"
    max_points: int = 20_000_000
    max_bytes: int = 512 * 2**20

    def __post_init__(self) -> None:
        if self.fps_columns not in COLUMNS:
            raise PolysenseError(f"point.fps_columns must be xyz or rgb, not {self.fps_columns!r}")
        if self.up not in ("x", "y", "z"):
            raise PolysenseError(f"point.up must be x, y or z, not {self.up!r}")
        for name in ("groups", "neighbours"):
            if not 1 <= getattr(self, name) <= self.points:
                raise PolysenseError(
                    f"point.{name} must lie between 1 and point.points={self.points}, not "
                    f"{getattr(self, name)}"
                )

    @property
    def caption_prompt(self) -> str:
        """The paper's caption prompt."""
        return caption_prompt("point cloud")

    def read(self, source: Any) -> torch.Tensor:
        """Decode a path (PLY, PCD, LAS, XYZ, TXT, NPY, NPZ, OBJ, STL, OFF, GLB, glTF) or an array
        [P, 3 or 6] into [points, 6].

        An .npz holds "points" [P, 3 or 6] or one array of any name, and perhaps "colors" [P, 3].
        Raises PolysenseError where the source is missing, damaged, of another kind, over a limit,
        or without a single finite point.
        """
        name = source_name("point cloud", source)
        reading = Reading(name, self.points, self.max_points)
        with one_line_errors(name):
            if isinstance(source, str | Path):
                data = file_bytes(source, name, "point.max_bytes", self.max_bytes)
                cloud = self._decode(data, Path(source).suffix.lower(), reading)
            elif isinstance(source, torch.Tensor):
                cloud = thinned(source.detach().float().cpu().numpy(), None, reading)
            elif isinstance(source, np.ndarray):
                cloud = thinned(source, None, reading)
            else:
                raise PolysenseError(
                    f"a point cloud must be a path or array, not {type(source).__name__}"
                )
            return self._signal(cloud)

    def suits(self, source: Any) -> bool:
        """Whether it can be read and, as a text table, has the columns of points."""
        if not super().suits(source) or Path(source).suffix.lower() not in TEXTS:
            return super().suits(source)
        data = file_bytes(source, source_name("points", source), "point.max_bytes", self.max_bytes)
        return has_point_columns(data[:4096].decode("utf-8-sig", "replace"))

    def _decode(self, data: bytes, suffix: str, reading: Reading) -> Cloud:
        """Hand a file's bytes to the reader of its suffix."""

        if suffix in MESHES:
            return read_mesh(data, suffix[1:], reading)
        if suffix in TEXTS:
            return read_text(data, reading, scanner=suffix == ".pts")
        if suffix in ROWS:
            return read_rows(ROWS[suffix](data, reading.name), data, reading)
        if suffix == ".ply":
            elements = ply_elements(data, reading.name)[1]
            reading.check(max(count for count, _ in elements.values()))
            if elements.get("face", (0,))[0]:
                return read_mesh(data, "ply", reading)
            return read_rows(ply_rows(data, reading.name), data, reading)
        if suffix in ARRAYS:
            arrays = load_arrays(
                data, (*COORDINATES, *COLOURS), reading.name, 6 * self.max_points,
                "6 x point.max_points",
            )  # fmt: skip
            xyz, rgb = (
                next((arrays[key] for key in keys if key in arrays), None)
                for keys in (COORDINATES, COLOURS)
            )
            if xyz is None:
                raise PolysenseError(f"{reading.name} has colours but no array 'points'")
            return thinned(xyz, rgb, reading)
        known = ", ".join([".ply", *ROWS, *TEXTS, *ARRAYS, *MESHES])
        raise PolysenseError(f"{reading.name} has the suffix {suffix!r}; those read: {known}")

    def _signal(self, cloud: Cloud) -> torch.Tensor:
        """Repeat to `points`, centre and scale."""
        rows = np.arange(self.points) % len(cloud.xyz)
        xyz = cloud.xyz[rows]
        xyz = xyz - xyz.mean(axis=0)
        radius = np.linalg.norm(xyz, axis=1).max()
        if radius > 0:
            xyz = xyz / radius
        grey = np.full((len(cloud.xyz), 3), GREY)
        rgb = (grey if cloud.rgb is None else cloud.rgb)[rows]
        return torch.from_numpy(np.concatenate([xyz, rgb], axis=1).astype(np.float32))

    def tokenizer(self, width: int) -> nn.Module:
        """Return the map of clouds [N, points, 6] to tokens [N, groups, width]."""
        return PointTokenizer(width, self.groups, self.neighbours, self.fps_columns)

    def example(self) -> torch.Tensor:
        """A sphere of evenly spread points (Fibonacci's lattice), coloured by place."""
        step = torch.arange(self.points) + 0.5
        height, angle = 1 - 2 * step / self.points, math.pi * (1 + math.sqrt(5)) * step
        ring = (1 - height**2).sqrt()
        xyz = torch.stack([ring * angle.cos(), height, ring * angle.sin()], dim=1)
        return torch.cat([xyz, xyz / 2 + 0.5], dim=1)

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Turn about the upright axis, move each point a little (0.01), scale by 0.8 to 1.2.

        Every second view is grey, as clouds without colours are: form has to do then.
        """
        angle, scale, paint = torch.rand(3, generator=generator).tolist()
        cosine, sine = math.cos(2 * math.pi * angle), math.sin(2 * math.pi * angle)
        first, second = (axis for axis in range(3) if "xyz"[axis] != self.up)
        turn = torch.eye(3)
        turn[first, first], turn[first, second] = cosine, -sine
        turn[second, first], turn[second, second] = sine, cosine
        jitter = 0.01 * torch.randn(signal.shape[0], 3, generator=generator).clamp(-5, 5)
        xyz = (signal[:, :3] @ turn.T + jitter) * (0.8 + 0.4 * scale)
        rgb = signal[:, 3:] if paint < 0.5 else torch.full_like(signal[:, 3:], GREY)
        return torch.cat([xyz, rgb], dim=1)

    def visualize(self, signal: torch.Tensor, side: int = 256) -> Image.Image:
        """Draw a cloud [points, 6] for people to look at."""
        return draw_cloud(signal.detach().float().cpu().numpy(), "xyz".index(self.up), side)


def thinned(xyz: np.ndarray, rgb: np.ndarray | None, reading: Reading) -> Cloud:
    """Draw points of an array [P, 3 or 6], with colours [P, 3] in another one perhaps."""
    from_matrix(
        np.atleast_1d(xyz)[:1], reading.name
    )  # its shape and type, before any of it is looked at
    if rgb is not None and rgb.shape != (len(xyz), 3):
        raise PolysenseError(f"{reading.name} has colours {list(rgb.shape)}, not [{len(xyz)}, 3]")

    def decode(rows: np.ndarray) -> Cloud:
        values = xyz[rows]
        if rgb is None:
            return from_matrix(values, reading.name)
        return Cloud(
            from_matrix(values[:, :3], reading.name).xyz, unit_colours(rgb[rows], reading.name)
        )

    return reading.draw(len(xyz), decode)


class PointTokenizer(nn.Module):
    """Clouds [N, P, 6] -> tokens [N, groups, width], one for each neighbourhood."""

    def __init__(self, width: int, groups: int, neighbours: int, columns: str) -> None:
        super().__init__()
        self.groups, self.neighbours, self.columns = groups, neighbours, COLUMNS[columns]
        self.convolution = nn.Conv2d(6, width, 1)  # two-dimensional as in the published checkpoint

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Find the neighbourhoods, map every point, take each neighbourhood's maximum."""
        clouds, points, _ = signals.shape
        where = signals[..., self.columns]
        centres = gather_points(where, farthest_points(where, self.groups))
        neighbours = nearest(where, centres, self.neighbours)  # [N, groups, neighbours]
        first = torch.arange(clouds, device=signals.device).view(-1, 1, 1) * points
        bags = (neighbours + first).flatten(0, 1)
        kernel, bias = self.convolution.parameters()
        rows, weight = signals.flatten(0, 1), kernel.flatten(1)
        chosen = functional.embedding(largest(rows, weight, bags), rows)  # [G, width, 6]
        tokens = (chosen * weight).sum(dim=-1) + bias
        return tokens.unflatten(0, (clouds, self.groups))
