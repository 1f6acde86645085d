"""What every form yields: a sample as a line of a manifest, whose words tables say otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from polysense.data.formats.manifest import KNOWN_KEYS, plural
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES, modality_of_extension

# What others call a caption, and a file whose modality its ending says.
CAPTION_NAMES = ("text", "caption_text")
FILE_NAMES = ("file_name", "filename", "file", "path", "file_path", "filepath")


@dataclass(frozen=True)
class Line:
    """A sample: its values, where they stand, the folder of its files, and its key."""

    values: Any
    where: str
    root: Path
    name: str = ""


def modality_of_path(name: str, modalities: Sequence[str], where: str) -> str:
    """Return the modality that reads a file, by its ending, or by its name, as walk.imu.csv."""
    every = [*modalities, *(modality for modality in MODALITIES if modality not in modalities)]
    modality = modality_of_extension(Path(name).name.partition(".")[2], every)
    if not modality:
        raise PolysenseError(
            f"{where}: no modality here reads {name!r} by its ending: write the modality into its "
            f"name, as {Path(name).stem}.{modalities[0]}{Path(name).suffix}, or make it a column "
            f"{modalities[0]!r}"
        )
    return modality


@cache
def tell_once(text: str) -> None:
    """Print a line on standard error, the first time in this process that it is to be said."""
    print(f"polysense: {text}", file=sys.stderr)


def as_line(
    row: dict[str, Any], modalities: Sequence[str], where: str, table: Path
) -> dict[str, Any]:
    """Return a table's row as a line: empty cells go, other names become a manifest's.

    Columns that no line has (sizes, addresses, numbers of classes) are left out, and named.
    """
    values = {name.strip(): value for name, value in row.items() if value not in (None, "")}
    for name in CAPTION_NAMES:
        if name in values and name not in modalities:
            put(values, "caption", values.pop(name), where)
    for name in FILE_NAMES:
        if name in values and name not in modalities:
            file = values.pop(name)
            put(values, modality_of_path(str(file), modalities, where), file, where)
    known = {
        *KNOWN_KEYS,
        *MODALITIES,
        *map(plural, MODALITIES),
        *modalities,
        *map(plural, modalities),
    }
    for name in sorted(set(values) - known):
        tell_once(f"{table}: the column {name!r} is not read (read are {', '.join(sorted(known))})")
        del values[name]
    return values


def put(values: dict[str, Any], name: str, value: Any, where: str) -> None:
    """Put a value under its name in a line; two of one name are an error."""
    if name in values:
        raise PolysenseError(f"{where}: two columns are its {name!r}")
    values[name] = value
