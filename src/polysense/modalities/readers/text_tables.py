"""Tables as text (CSV, TSV), as spreadsheets and loggers of all countries write them.

A row's cells belong to the names above them, or the table is refused: no column ever moves by one
place. Rows and columns without any content, which spreadsheets leave behind, are left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from polysense.errors import PolysenseError
from polysense.modalities.readers.column_names import listed
from polysense.modalities.readers.text_numbers import decimal_mark, is_number, text_encoding

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used

SAMPLED = 200  # rows that tell how a table is written


def read_table(data: bytes, separators: str, name: str) -> pd.DataFrame:
    """Read a table; a first line of numbers alone is data, and columns are called 0, 1, 2 ...

    Lines that begin with # are skipped. Raises PolysenseError where names and cells do not match.
    """
    import pandas as pd

    text = data.decode(text_encoding(data, name))
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not rows:
        raise PolysenseError(f"{name} holds no lines but empty ones and comments")
    marked = rows[0].strip().lower()
    if marked.startswith("sep=") and len(marked) == 5:  # a spreadsheet's word to itself
        separators, rows = marked[-1], rows[1:]
    separator = separator_of(rows[0] if rows else "", separators)
    cells = list(csv.reader(rows[:SAMPLED], delimiter=separator, skipinitialspace=True))
    is_bare = all(is_number(cell) for cell in cells[0]) if cells else True
    names = [] if is_bare else column_names(cells[0], name)
    body = cells[0 if is_bare else 1 :]
    width = max(map(len, body), default=len(names))
    if body and not is_bare:
        check_widths(names, body, name)
    table = pd.read_csv(
        io.StringIO("\n".join(rows)),
        sep=separator,
        header=None,
        names=list(range(max(width, len(names)))),
        skiprows=0 if is_bare else 1,
        index_col=False,
        comment="#",
        skipinitialspace=True,
        decimal=decimal_mark((cell for row in body for cell in row), name),
        low_memory=False,
    )
    return labelled(table, names, name)


def separator_of(line: str, separators: str) -> str:
    """Return what parts the cells of a line: what leaves numbers alone, else the most frequent.

    In "0,1;1,5;2,5" that is the semicolon, though it has more commas.
    """
    for mark in sorted(separators, key="\t;,".find):
        if mark in line and all(is_number(cell) for cell in line.strip().split(mark)):
            return mark
    return max(separators, key=line.count)


def column_names(cells: Sequence[str], name: str) -> list[str]:
    """Return the names of columns, without the empty ones at the line's end; no name twice."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if double := [each for n, each in enumerate(names) if each and each in names[:n]]:
        raise PolysenseError(
            f"{name} has two columns called {double[0]!r}: give each its own name; columns: "
            f"{listed(names)}"
        )
    return names


def check_widths(names: Sequence[str], body: Sequence[Sequence[str]], name: str) -> None:
    """Refuse rows whose cells cannot belong to the names: some have more, or all have fewer."""
    for number, row in enumerate(body, 1):
        if any(cell.strip() for cell in row[len(names) :]):
            raise PolysenseError(
                f"{name} names {len(names)} columns, and its row {number} has {len(row)} cells: "
                f"name each column; columns: {listed(names)}"
            )
    longest = max(len(row) for row in body)
    if longest < len(names):
        raise PolysenseError(
            f"{name} names {len(names)} columns, and its rows have {longest} cells: leave out the "
            f"names without a column; columns: {listed(names)}"
        )


def labelled(table: pd.DataFrame, names: Sequence[str], name: str) -> pd.DataFrame:
    """Give columns their names; leave out empty rows at the ends and nameless empty columns."""
    filled = table.notna().any(axis=1).to_numpy().nonzero()[0]
    table = table.iloc[filled[0] : filled[-1] + 1] if len(filled) else table.iloc[:0]
    table = table.reset_index(drop=True)
    if not names:
        while len(table) and table.shape[1] and table.iloc[:, -1].isna().all():
            table = table.iloc[:, :-1]  # separators at line ends
        return table
    for extra in table.columns[len(names) :]:
        given: Any = table[extra].notna()
        if given.any():
            row = int(given.to_numpy().argmax()) + 1
            raise PolysenseError(
                f"{name} names {len(names)} columns, and its row {row} has more cells: name each "
                f"column; columns: {listed(names)}"
            )
    table = table.iloc[:, : len(names)]
    table.columns = [each or f"unnamed {n + 1}" for n, each in enumerate(names)]
    return table
