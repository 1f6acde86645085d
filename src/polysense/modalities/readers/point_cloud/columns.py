"""Which columns of a cloud are its coordinates and its colours.

By name where the file names its columns. Else by place, and then what stands there has to look like
colours. Colours are red green blue, one packed number (PCL), or the constant part of the spherical
harmonics of 3-D Gaussians (f_dc_0..2; arXiv 2308.04079).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.column_names import (
    AXES,
    HARMONICS,
    PACKED,
    colour_part,
    is_tint,
    listed,
    plain,
    point_axis,
)

HARMONIC = 0.28209479177387814  # 1 / (2 sqrt(pi)), the constant spherical harmonic


class PointColumns(NamedTuple):
    """Numbers of the columns of x y z, and of those that hold colours in one of three forms."""

    xyz: list[int]
    colours: list[int]
    form: Literal["none", "parts", "packed", "harmonics"]


def named_columns(names: Sequence[str], name: str) -> PointColumns:
    """Find coordinates and colours among a cloud's named columns.

    Raises PolysenseError that lists the columns where a coordinate is missing or could be two, and
    where columns speak of colours in a form that is not read.
    """
    axes = one_of_each(names, [point_axis(column) for column in names], AXES, name)
    if len(axes) < 3:
        missing = next(axis for axis in AXES if axis not in axes)
        raise PolysenseError(
            f"{name} has no column {missing!r}: points need x, y, z; columns: {listed(names)}"
        )
    xyz = [axes[axis] for axis in AXES]
    words = [plain(column) for column in names]
    parts = one_of_each(names, [colour_part(column) for column in names], "rgb", name)
    if len(parts) == 3:
        return PointColumns(xyz, [parts[part] for part in "rgb"], "parts")
    packed = [words.index(word) for word in PACKED if word in words]
    if packed and not parts:
        return PointColumns(xyz, packed[:1], "packed")
    if set(HARMONICS) <= set(words) and not parts:
        return PointColumns(xyz, [words.index(word) for word in HARMONICS], "harmonics")
    if tints := [column for column in names if is_tint(column)]:
        raise PolysenseError(
            f"{name} has columns of colours that are not understood: {listed(tints)}. Call them "
            "red, green, blue, or leave them out"
        )
    return PointColumns(xyz, [], "none")


def one_of_each(
    names: Sequence[str], kinds: Sequence[str | None], wanted: str, name: str
) -> dict[str, int]:
    """Return {kind: number of the only column of it}; two of one kind are an error."""
    found: dict[str, int] = {}
    for number, kind in enumerate(kinds):
        if kind is None or kind not in wanted:
            continue
        if kind in found:
            raise PolysenseError(
                f"{name}: {names[found[kind]]} and {names[number]} could both be the column "
                f"{kind!r}; columns: {listed(names)}. Leave one out"
            )
        found[kind] = number
    return found


def placed_colours(values: np.ndarray, scanner: bool, name: str) -> int | None:
    """Return the column where red green blue begin in rows [P, n] without names; None: nowhere.

    The usual place is the fourth column; of seven columns the fifth where the file is a scanner's
    (PTS: x y z intensity red green blue), or where the fourth to sixth cannot be colours; of nine
    and more also the seventh, behind normals. Normals are no colours.
    """
    count = values.shape[1]
    if count < 6:
        return None
    places = [4] if scanner and count == 7 else [3]
    places += [4] if count == 7 and not scanner else []
    places += [6] if count >= 9 else []
    for first in places:
        if looks_coloured(values[:, first : first + 3]):
            return first
    if are_normals(values[:, 3:6]):
        return None
    block = values[:, places[0] : places[0] + 3]
    raise PolysenseError(
        f"{name} has no line of names, and its columns {places[0] + 1} to {places[0] + 3} are "
        f"neither colours nor normals (from {np.nanmin(block):g} to {np.nanmax(block):g}): put a "
        "first line such as x y z intensity red green blue"
    )


def are_normals(block: np.ndarray) -> bool:
    """Whether rows [P, 3] are directions: of length 1, or 0 where a normal is missing."""
    lengths = np.linalg.norm(block, axis=1)
    lengths = lengths[np.isfinite(lengths)]
    return bool((np.isclose(lengths, 1, atol=0.02) | (lengths == 0)).all())


def looks_coloured(block: np.ndarray) -> bool:
    """Whether rows [P, 3] can be colours: none negative, none above 65535, and no directions.

    Whole numbers of length 1 are saturated colours: pure red is 1 0 0.
    """
    known = block[np.isfinite(block)]
    if (known < 0).any() or (known > 65535).any():
        return False
    return bool((known == np.rint(known)).all()) or not are_normals(block)


def harmonic_colours(values: np.ndarray) -> np.ndarray:
    """Return colours [P, 3] in 0..1 of the constant part of spherical harmonics."""
    return np.clip(0.5 + HARMONIC * values.astype(np.float32), 0, 1)
