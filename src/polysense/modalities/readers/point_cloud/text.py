"""Points from lines of numbers (XYZ, TXT, PTS, CSV, ASC), as scanners and programs write them.

A line of names says what the columns are; without one, their places do. Names, encodings, decimal
commas and separators are those of many programs, so each is looked for, and what cannot be
understood is an error.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.column_names import point_axis
from polysense.modalities.readers.point_cloud.cloud import (
    GREY,
    Cloud,
    Lines,
    Reading,
    from_matrix,
    unit_colours,
)
from polysense.modalities.readers.point_cloud.columns import (
    PointColumns,
    harmonic_colours,
    named_columns,
    placed_colours,
)
from polysense.modalities.readers.text_numbers import decimal_mark, is_number, text_encoding

SEARCHED = 100  # lines in which the first numbers must stand
MOST_COLUMNS = 9  # that are looked at where no line names them


@dataclass(frozen=True)
class Layout:
    """How the lines of a text are to be read: `first` is the line of the first numbers."""

    first: int
    separator: str | None  # None: blanks
    decimal: str
    count: int  # of columns
    names: list[str] | None


def read_text(data: bytes, reading: Reading, scanner: bool = False) -> Cloud:
    """Points from lines of numbers, their columns named by a line before them.

    Without names, columns are x y z, perhaps red green blue, and anything after it; what
    `point_columns.placed_colours` says of others holds, with `scanner` for PTS. Separated by
    blanks, commas or semicolons; `#` and `//` start comments; lines before the first with three
    numbers (a title, a count) are passed over.
    """
    encoding = text_encoding(data, reading.name)
    if encoding != "utf-8-sig" or data.startswith(b"\xef\xbb\xbf"):
        data = data.decode(encoding).encode()
    lines = Lines(data)
    reading.check(len(lines), "lines")
    layout = find_layout(lines, reading.name)
    decode = by_names if layout.names else by_places
    return reading.draw(len(lines) - layout.first, decode(lines, layout, reading, scanner))


def find_layout(lines: Lines, name: str) -> Layout:
    """Find the first line of three numbers, its separator, and the names that stand before it."""
    earlier: list[str] = []
    for first in range(min(len(lines), SEARCHED)):
        line = lines.take(np.array([first])).getvalue().strip(" \r\t")
        bare = re.split("#|//", line)[0].strip(" \r\t")
        separator = separator_of(bare)
        cells = split_cells(bare, separator)
        if len(cells) >= 3 and all(map(is_number, cells)) and any(cells):
            break
        earlier += [line] if line else []
    else:
        raise PolysenseError(f"{name} has no line of three numbers among its first {SEARCHED}")
    sample = np.arange(first, min(len(lines), first + SEARCHED))
    rows = re.split(r"[\r\n]+", lines.take(sample).getvalue())
    mark = decimal_mark((c for row in rows for c in split_cells(row, separator)), name)
    names = names_before(earlier, separator, len(cells), name)
    return Layout(first, separator, mark, len(cells), names)


def separator_of(line: str) -> str | None:
    """Return what parts the numbers of a line: ";", ",", or None for blanks (also "1,5 2,5")."""
    if ";" in line:
        return ";"
    if "," in line and len(line.split()) > 1 and line.count(",") <= len(line.split()):
        blanks = [word.rstrip(",") for word in line.split()]
        if any("," in word for word in blanks):
            return None
    return "," if "," in line else None


def split_cells(line: str, separator: str | None) -> list[str]:
    """Return the cells of a line, without the empty ones behind its last separator."""
    text = line.rstrip(" \r\t" + (separator or ""))
    return [cell.strip().strip('"') for cell in text.split(separator)] if text else []


def names_before(
    earlier: list[str], separator: str | None, count: int, name: str
) -> list[str] | None:
    """Return the names of columns in the last line before the numbers, where it holds such.

    A line with a name for each column is one, and so is each that names x, y and z (after a comment
    sign too); another comment, a title or a count is none.
    """
    if not earlier:
        return None
    line = earlier[-1]
    text = line.lstrip("#/ \t")
    for mark in dict.fromkeys((separator, ",", ";", "\t", None)):
        names = split_cells(text, mark)
        if {"x", "y", "z"} <= {point_axis(each) for each in names}:
            if len(names) != count:
                raise PolysenseError(
                    f"{name} names {len(names)} columns and has {count} numbers in its first row: "
                    "give each column one name"
                )
            return names
    names = split_cells(text, separator)
    is_title = text != line or len(names) != count or any(map(is_number, names))
    return None if is_title else names


def by_names(
    lines: Lines, layout: Layout, reading: Reading, _scanner: bool
) -> Callable[[np.ndarray], Cloud]:
    """Return the decoder of rows whose columns have names."""
    found = named_columns(layout.names or [], reading.name)
    if found.form == "packed":
        raise PolysenseError(
            f"{reading.name} has packed colours in a column of text; name three: red, green, blue"
        )

    def decode(rows: np.ndarray) -> Cloud:
        values = numbers(lines, rows, layout, [*found.xyz, *found.colours])
        return Cloud(values[:, :3], colours_of(values[:, 3:], found, reading.name))

    return decode


def colours_of(values: np.ndarray, found: PointColumns, name: str) -> np.ndarray | None:
    """Bring the columns of colours to 0..1; None where there are none."""
    if found.form == "none":
        return None
    if found.form == "harmonics":
        return np.nan_to_num(harmonic_colours(values), nan=GREY)
    return unit_colours(values, name)


def by_places(
    lines: Lines, layout: Layout, reading: Reading, scanner: bool
) -> Callable[[np.ndarray], Cloud]:
    """Return the decoder of rows without names."""
    columns = list(range(min(layout.count, MOST_COLUMNS)))

    def decode(rows: np.ndarray) -> Cloud:
        values = numbers(lines, rows, layout, columns)
        first = placed_colours(values, scanner, reading.name)
        chosen = [0, 1, 2] if first is None else [0, 1, 2, first, first + 1, first + 2]
        return from_matrix(values[:, chosen], reading.name)

    return decode


def numbers(lines: Lines, rows: np.ndarray, layout: Layout, columns: list[int]) -> np.ndarray:
    """Return columns [rows, columns] of some lines; empty cells are NaN, empty rows left out."""
    text = lines.take(rows + layout.first).getvalue()
    text = re.sub(r"(?m)^[ \t\r,;]*(?:\n|\Z)", "", text.replace('"', "")).rstrip("\r\n")
    if layout.separator is not None:
        mark = layout.separator
        text = re.sub(rf"(?m)(?:^|(?<={mark}))[ \t]*(?={mark}|\r?$)", "nan", text)
    if layout.decimal == ",":
        text = text.replace(",", ".")
    values = np.loadtxt(
        io.StringIO(text), comments=["#", "//"], delimiter=layout.separator, usecols=columns,
        ndmin=2,
    )  # fmt: skip
    return values.reshape(-1, len(columns))
