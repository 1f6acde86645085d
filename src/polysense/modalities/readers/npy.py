"""NumPy's files as they come from outside: no Python objects, and never more values than a limit.

A header may promise more than the file holds (a "bomb"), so its shape is compared with the limit
before an array is made.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from typing import IO

import numpy as np

from polysense.errors import PolysenseError

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"


def is_array_file(data: bytes) -> bool:
    """Whether `data` starts as NumPy's .npy or .npz files do."""
    return data.startswith((NPY, ZIP))


def load_arrays(
    data: bytes, wanted: Sequence[str], name: str, most: int, option: str
) -> dict[str, np.ndarray]:
    """Return the arrays of an .npy or .npz file whose names are in `wanted`.

    The only array of a file counts as wanted[0] whatever its name. Refuses Python objects
    (pickles), and arrays of more than `most` values by their headers, before they are made.
    """
    if data.startswith(NPY):
        return {wanted[0]: load_array(io.BytesIO(data), io.BytesIO(data), name, most, option)}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = {key: key for key in wanted if key in members}
        if not chosen and len(members) == 1:
            chosen = {wanted[0]: next(iter(members))}
        if not chosen:
            raise PolysenseError(
                f"{name} holds the arrays {', '.join(sorted(members))[:200] or 'none'}; it needs "
                f"one called {wanted[0]!r}"
            )
        found = {}
        for key, member in chosen.items():
            with archive.open(members[member]) as header, archive.open(members[member]) as body:
                found[key] = load_array(header, body, name, most, option)
        return found


def load_array(header: IO[bytes], body: IO[bytes], name: str, most: int, option: str) -> np.ndarray:
    """Check the shape and type that `header` announces, then read the same array from `body`."""
    version = np.lib.format.read_magic(header)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(header)
    if dtype.kind not in "buif":
        raise PolysenseError(
            f"{name} holds values of type {dtype}, not numbers: save it as float32"
        )
    if math.prod(shape) > most:
        raise PolysenseError(
            f"{name} is an array {list(shape)}, {math.prod(shape):,} values; the limit is "
            f"{most:,}, from {option}"
        )
    return np.lib.format.read_array(body, allow_pickle=False)
