"""Points as files hold them: any number, in any unit, with colours of any range or none.

Every reader of clouds ends here. Rows are drawn before they are decoded, so a scan of five million
points costs what a small one does; points that are no numbers are dropped; colours come to 0..1.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from polysense.errors import PolysenseError

GREY = 0.4  # of points without a colour: what OpenShape and Objaverse's clouds use
SPARE = 4  # rows drawn for each point wanted, in case some are no numbers
FARTHEST = 1e30  # beyond it a coordinate is damage, and its square no number


class Cloud(NamedTuple):
    """Points in the file's own unit and frame."""

    xyz: np.ndarray  # [P, 3] float64: scans in metres from the equator need the digits
    rgb: np.ndarray | None  # [P, 3] float32 in 0..1


@dataclass(frozen=True)
class Reading:
    """What a reader is asked for.

    `name` is the source in errors; `wanted` how many points are enough; `most` the limit on those a
    file may announce, set by `option`. `draw` gives the same rows for the same file, always.
    """

    name: str
    wanted: int
    most: int
    option: str = "point.max_points"
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def check(self, count: int, what: str = "points") -> None:
        """Refuse a source that announces no points or more than the limit."""
        if count < 1:
            raise PolysenseError(f"{self.name} holds no {what}")
        if count > self.most:
            raise PolysenseError(
                f"{self.name} has {count:,} {what}; the limit is {self.option}={self.most:,}"
            )

    def draw(self, count: int, decode: Callable[[np.ndarray], Cloud]) -> Cloud:
        """Return `wanted` finite points of `count` rows, or all there are where that is fewer.

        `decode` turns row numbers (int64, ascending) into points. Only a few rows are decoded,
        unless too many of these turn out to be no numbers.
        """
        self.check(count)
        if count > SPARE * self.wanted:
            rows = self.generator.choice(count, SPARE * self.wanted, replace=False)
            cloud = finite(decode(np.sort(rows)))
            if len(cloud.xyz) >= self.wanted:
                return self.thin(cloud)
        return self.thin(finite(decode(np.arange(count))))

    def thin(self, cloud: Cloud) -> Cloud:
        """Keep a random `wanted` of more points; refuse a cloud of none."""
        count = len(cloud.xyz)
        if not count:
            raise PolysenseError(f"{self.name} holds no point whose coordinates are finite numbers")
        if count <= self.wanted:
            return cloud
        return select(cloud, self.generator.choice(count, self.wanted, replace=False))


def select(cloud: Cloud, rows: Any) -> Cloud:
    """Return some rows of a cloud, by numbers or a mask."""
    return Cloud(cloud.xyz[rows], None if cloud.rgb is None else cloud.rgb[rows])


def finite(cloud: Cloud) -> Cloud:
    """Drop points with a NaN, infinite or absurd coordinate."""
    return select(cloud, (np.abs(cloud.xyz) < FARTHEST).all(axis=1))


def unit_colours(values: np.ndarray, name: str) -> np.ndarray:
    """Bring colours [P, 3] to float32 in 0..1.

    Bytes are of 255; other numbers of 1, 255 or 65535, the least that holds the largest of them
    (whole numbers at least of 255). Where the largest would be next to black (1.2 of 255, 300 of
    65535), the range is a wrong guess, and refused. A colour that is no number becomes grey.
    """
    colours = values.astype(np.float32)
    colours[~np.isfinite(colours)] = np.nan
    least, most = np.nanmin(colours, initial=0), np.nanmax(colours, initial=0)
    if least < 0 or most > 65535:
        raise PolysenseError(f"{name} has colours from {least:g} to {most:g}: use 0..1 or 0..255")
    whole = bool((colours[np.isfinite(colours)] % 1 == 0).all())
    known = values.dtype.kind in "ui" and values.dtype.itemsize <= 2
    if (1.001 < most < 8 and not whole) or (255.3 < most < 4096 and not known):
        raise PolysenseError(
            f"{name} has colours from {least:g} to {most:g}, of no usual range: use 0..1 or 0..255"
        )
    tops = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    top = next(top for top in tops if most <= 1.001 * top)  # a rounding above 1 is still of 1
    return np.nan_to_num(np.clip(colours / top, 0, 1), nan=GREY)


def from_matrix(values: np.ndarray, name: str) -> Cloud:
    """Points from an array [P, 3] (xyz) or [P, 6] (xyz, then rgb of 0..1 or 0..255)."""
    if values.ndim != 2 or values.shape[1] not in (3, 6) or values.dtype.kind not in "uif":
        raise PolysenseError(
            f"{name} must be numbers [points, 3 (x y z) or 6 (x y z red green blue)], not "
            f"{values.dtype} {list(values.shape)}"
        )
    rgb = unit_colours(values[:, 3:], name) if values.shape[1] == 6 else None
    return Cloud(values[:, :3].astype(np.float64), rgb)


class Lines:
    """The lines of a text, found without decoding it, so that some can be taken."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self.data = data
        breaks = np.flatnonzero(np.frombuffer(data, np.uint8, offset=start) == ord("\n")) + start
        self.starts = np.concatenate([[start], breaks + 1])
        self.ends = np.concatenate([breaks, [len(data)]])
        if not data[self.starts[-1] :].strip():  # what follows the last line break
            self.starts, self.ends = self.starts[:-1], self.ends[:-1]

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> io.StringIO:
        """Return some lines as a text file, for numpy.loadtxt."""
        pairs = zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)
        chosen = b"\n".join(self.data[start:end] for start, end in pairs)
        return io.StringIO(chosen.decode("utf-8", errors="replace"))
