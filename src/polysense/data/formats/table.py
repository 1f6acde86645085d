"""Tables with a sample a row: csv, tsv and parquet, their columns named as a manifest's keys.

A column called like a modality holds files, relative to the table; or, in parquet, their bytes, as
Hugging Face's Image and Audio features are ({"bytes", "path"}). Bytes are laid out once, in a
folder beside the table.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polysense.atomic_write import replacing
from polysense.data.formats.line import Line, as_line
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES

SUFFIXES = (".csv", ".tsv", ".parquet")
ROWS_AT_ONCE = 256  # of a parquet table, whose cells may be whole files


def takes(path: Path) -> bool:
    """Whether a path names a table."""
    return path.suffix.lower() in SUFFIXES


def lines_of(path: Path, modalities: Sequence[str]) -> Iterator[Line]:
    """Yield the rows of a table; PolysenseError names the row."""
    rows = parquet_rows(path) if path.suffix.lower() == ".parquet" else text_rows(path)
    for number, row in rows:
        where = f"{path}, row {number}"
        values = as_line(row, modalities, where, path)
        name = ""
        for modality in [*modalities, *MODALITIES]:
            if (cell := held_bytes(values.get(modality))) is not None:
                file = lay_out(path, modality, cell, values[modality].get("path"))
                values[modality], name = str(file.relative_to(path.parent)), name or file.stem[:16]
        yield Line(values, where, path.parent, name)


def text_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, row) of a csv or tsv file; of a csv, the first line says what separates."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
            reader = csv.DictReader(file, delimiter=separator, strict=True)
            names = reader.fieldnames or []
            if len(set(names)) < len(names):
                raise PolysenseError(f"{path}: two columns of its first line have one name")
            for row in reader:
                if None in row or None in row.values():
                    raise PolysenseError(
                        f"{path}, row {reader.line_num}: not {len(names)} cells, as its first line "
                        "has: quote a text that has the separator in it"
                    )
                yield reader.line_num, row
    except OSError as error:
        raise PolysenseError(f"table {str(path)!r} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise PolysenseError(f"table {str(path)!r} is no table in UTF-8: {error}") from error


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row, values) of a parquet file, a few rows in memory at a time."""
    from pyarrow import ArrowException, parquet  # costs half a second

    try:
        with parquet.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ArrowException) as error:
        raise PolysenseError(f"table {str(path)!r} cannot be read: {error}") from error


def held_bytes(cell: Any) -> bytes | None:
    """Return the file in a cell, bytes or {"bytes": ..., "path": ...}; None where it is a path."""
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else None


def lay_out(table: Path, modality: str, content: bytes, name: str | None) -> Path:
    """Write a cell's bytes beside the table, called by their hash; return the file."""
    ending = Path(name or "").suffix or f".{(MODALITIES[modality].extensions or ('bin',))[0]}"
    folder = table.with_name(f"{table.name}.files")
    path = folder / f"{hashlib.sha256(content).hexdigest()}{ending}"
    if not path.is_file():
        try:
            folder.mkdir(exist_ok=True)
            with replacing(path) as scratch:
                scratch.write_bytes(content)
        except OSError as error:
            raise PolysenseError(
                f"the files in {str(table)!r} cannot be laid out in {str(folder)!r}: "
                f"{error.strerror}"
            ) from error
    return path
