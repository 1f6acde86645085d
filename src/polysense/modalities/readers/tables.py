"""Files of numbers: NumPy arrays (npy, npz) and tables (csv, tsv, parquet), read within limits.

Sensors whose signal is a vector or a series of readings share this reader. How large a file is
comes from its size and header, before anything is decoded; nothing in it is ever unpickled.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.text_tables import read_table
from polysense.modalities.sources.file_checks import one_line_errors, regular_file

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used


SEPARATORS = {".csv": ",;\t", ".tsv": "\t"}
MISNAMED = "damaged or not what its name says"  # what a file is whose parser fails
SUFFIXES = (".npy", ".npz", ".parquet", *SEPARATORS)


@dataclass(frozen=True)
class Limits:
    """How large a file of `modality` may be: bytes on the disk, and numbers in it."""

    modality: str
    max_bytes: int
    max_values: int

    def check_values(self, count: int, name: str) -> None:
        """Refuse what holds more than max_values numbers."""
        if count > self.max_values:
            raise PolysenseError(
                f"{name} holds {count:,} numbers; the limit is "
                f"{self.modality}.max_values={self.max_values:,}"
            )

    def check_file(self, source: str | Path, name: str) -> Path:
        """Return the path of a regular, non-empty file within max_bytes."""
        return regular_file(source, name, f"{self.modality}.max_bytes", self.max_bytes)


def read_numbers(source: str | Path, name: str, limits: Limits) -> np.ndarray | pd.DataFrame:
    """Read an array (npy, npz) or a table (csv, tsv, parquet), by the file's suffix.

    Of an npz with several arrays, the one called like the modality. A table without a line of names
    has the columns 0, 1, 2 ... Raises PolysenseError, in one line that begins with `name`.
    """
    with one_line_errors(name, MISNAMED):
        path = limits.check_file(source, name)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise PolysenseError(f"{name} is no file of numbers: use {', '.join(SUFFIXES)}")
        if suffix == ".npy":
            # The map shows the shape without reading; it cannot be larger than the file.
            return numeric(np.load(path, mmap_mode="r", allow_pickle=False), name, limits)
        if suffix == ".npz":
            return read_archive(path, name, limits)
        if suffix == ".parquet":
            import pandas as pd
            from pyarrow import parquet

            size = parquet.ParquetFile(path).metadata
            limits.check_values(size.num_rows * size.num_columns, name)
            groups = range(size.num_row_groups)
            unpacked = sum(size.row_group(group).total_byte_size for group in groups)
            limits.check_values(unpacked // 8, name)  # text cells may be of any length
            return pd.read_parquet(path)
        return read_table(path.read_bytes(), SEPARATORS[suffix], name)


def numeric(array: np.ndarray, name: str, limits: Limits) -> np.ndarray:
    """Return `array` if it holds integers or floats, within the limit; no copy is made."""
    if array.dtype.kind not in "fiu":
        raise PolysenseError(f"{name} must hold numbers, not {array.dtype}")
    limits.check_values(array.size, name)
    return array


def numeric_columns(table: Any, name: str) -> np.ndarray:
    """The numbers [rows, columns] of a pandas table in fp64; a cell that is none is named."""
    import pandas as pd

    for column in table.columns:
        cells: Any = table[column]
        numbers: Any = pd.to_numeric(cells, errors="coerce")
        lost = numbers.isna() & cells.notna()
        if lost.any():
            row = int(lost.to_numpy().argmax())
            raise PolysenseError(
                f"{name}: {cells.iloc[row]!r} in column {column!r}, row {row + 1}, is no number"
            )
    return table.apply(pd.to_numeric).to_numpy(np.float64)


def read_archive(path: Path, name: str, limits: Limits) -> np.ndarray:
    """Read one array of an npz, whose unpacked size its directory declares (and zip enforces)."""
    with zipfile.ZipFile(path) as archive:
        sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
    member = next(iter(sizes)) if len(sizes) == 1 else limits.modality
    if member not in sizes:
        raise PolysenseError(
            f"{name} holds {len(sizes)} arrays ({', '.join(sorted(sizes)[:8])}): keep one, or "
            f"name the one that is meant {limits.modality!r}"
        )
    limits.check_values(sizes[member] // 8, name)  # of eight bytes; exact where it is read
    with np.load(path, allow_pickle=False) as arrays:
        return numeric(arrays[member], name, limits)
