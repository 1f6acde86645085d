"""Numbers in text files as programs of all countries write them.

UTF-8 with or without a byte order mark, UTF-16, and the one-byte encoding of Western Windows;
commas, semicolons, tabs or blanks between columns; points or commas in numbers. What could be read
in two ways is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from polysense.errors import PolysenseError

WITH_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
WITH_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)|", re.I)


def text_encoding(data: bytes, name: str) -> str:
    """Return the name of the encoding of a text: by its mark, else UTF-8, else Windows' Western.

    Raises PolysenseError where it is no text: zero bytes stand in it.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data:
        raise PolysenseError(
            f"{name} is not what its name says: no text in UTF-8 or UTF-16 with a byte order mark, "
            "since zero bytes stand in it"
        )
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "latin-1"  # as Windows' in all letters and signs that units are written with
    return "utf-8-sig"


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a point or a comma; "nan" and an empty cell count too."""
    return NUMBER.fullmatch(cell.strip().strip('"').strip()) is not None


def decimal_mark(cells: Iterable[str], name: str) -> str:
    """Return "." or ",", whichever stands in the numbers among some cells.

    Raises PolysenseError where both do, or where a comma could as well part thousands.
    """
    texts = [cell.strip().strip('"') for cell in cells]
    commas = [text for text in texts if WITH_COMMA.fullmatch(text)]
    points = [text for text in texts if WITH_POINT.fullmatch(text)]
    if commas and points:
        raise PolysenseError(
            f"{name} has numbers with decimal commas ({commas[0]}) and with decimal points "
            f"({points[0]}): write all with points"
        )
    if commas and all(THOUSANDS.fullmatch(text) for text in commas):
        raise PolysenseError(
            f"{name}: the comma in {commas[0]} could be a decimal comma or part thousands: write "
            "numbers with points"
        )
    return "," if commas else "."
