"""What readers of files do first: refuse, in one line, what is too large, endless or damaged.

A header may promise more than the file holds (a "bomb"), so sizes are compared with a limit before
anything of that size is made. Messages name the source, the number and the option that limits it.
"""

from __future__ import annotations

import io
import math
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from polysense.errors import PolysenseError

# What the libraries' parsers raise over bytes that are not what they expect.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, LookupError, TypeError, NameError,
    AttributeError, ArithmeticError, AssertionError, MemoryError, struct.error, zlib.error,
    zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"


def file_bytes(path: str | Path, name: str, most: int, option: str) -> bytes:
    """Return a file's bytes; pipes, devices, empty files and those above `most` are refused."""
    place = Path(path).expanduser()
    state = place.stat()
    if not stat.S_ISREG(state.st_mode):
        kind = "directory" if stat.S_ISDIR(state.st_mode) else "device or pipe"
        raise PolysenseError(f"{name} is a {kind}: name a file")
    check_bytes(state.st_size, name, most, option)
    return place.read_bytes()


def check_bytes(size: int, name: str, most: int, option: str) -> None:
    """Refuse an empty source and one above the limit that `option` sets."""
    if size == 0:
        raise PolysenseError(f"{name} is empty (0 bytes)")
    if size > most:
        raise PolysenseError(f"{name} has {size:,} bytes; the limit is {option}={most:,}")


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn what reading may raise into one line that names the source; silence warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parsers, over values that are dropped anyway
            yield
    except PolysenseError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise PolysenseError(f"{name} cannot be read: {error.strerror}") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PolysenseError(f"{name} is damaged or cut short: {reason}") from error


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
