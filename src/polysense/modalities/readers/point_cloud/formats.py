"""Files of points whose columns a header names: PLY, PCD, LAS.

PLY, PCD and LAS are one thing after their headers: rows of named numbers, as text or binary. So a
header becomes `Rows`, and one decoder serves all three. It is written here because plyfile decodes
text one row at a time in Python, and trimesh keeps the low byte of 16-bit colours.
Sources: PLY (G. Turk, 1994), PCD 0.7 (Point Cloud Library), LAS 1.4 R15 (ASPRS, tables 3 to 24).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import GREY, Cloud, Lines, Reading, unit_colours
from polysense.modalities.readers.point_cloud.columns import harmonic_colours, named_columns

HEADER_BYTES = 2**16

PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip

NAN_BITS = 0x7FC00000  # of the NaN that processors write
LAS_COLOURS = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}  # point format: byte of its red


@dataclass(frozen=True)
class Rows:
    """Where a file's points lie: `count` rows of `dtype` from byte `offset` on, after `skip` lines
    of text; coordinates are stored as (xyz - shift) / scale."""

    dtype: np.dtype
    count: int
    offset: int
    text: bool = False
    skip: int = 0
    scale: tuple[float, ...] = (1, 1, 1)
    shift: tuple[float, ...] = (0, 0, 0)


def read_rows(rows: Rows, data: bytes, reading: Reading) -> Cloud:
    """Decode the points of a file: [P, 3] coordinates and colours."""
    reading.check(rows.count)
    named_columns(rows.dtype.names or (), reading.name)  # before any of it is decoded
    lines = Lines(data, rows.offset) if rows.text else None
    held = (len(data) - rows.offset) // rows.dtype.itemsize
    if lines is not None:
        held = len(lines) - rows.skip
    if held < rows.count:
        raise PolysenseError(
            f"{reading.name} is cut short: it announces {rows.count:,} points and holds {held:,}"
        )

    def decode(chosen: np.ndarray) -> Cloud:
        if lines is not None:
            text = lines.take(chosen + rows.skip)
            return named_points(np.atleast_1d(np.loadtxt(text, rows.dtype)), rows, reading)
        table = np.frombuffer(data, rows.dtype, rows.count, rows.offset)
        return named_points(table[chosen], rows, reading)

    return reading.draw(rows.count, decode)


def named_points(table: np.ndarray, rows: Rows, reading: Reading) -> Cloud:
    """Find coordinates and colours among named columns."""
    names = table.dtype.names or ()
    found = named_columns(names, reading.name)
    xyz = np.stack([table[names[axis]].astype(np.float64) for axis in found.xyz], axis=1)
    rgb = None
    if found.form == "packed":
        rgb = unpacked(np.ascontiguousarray(table[names[found.colours[0]]]), rows.text, reading)
    elif found.form != "none":
        parts = np.stack([table[names[part]] for part in found.colours], axis=1)
        rgb = (
            unit_colours(parts, reading.name) if found.form == "parts" else harmonic_colours(parts)
        )
    if rgb is not None:
        rgb = np.nan_to_num(rgb, nan=GREY)
    return Cloud(xyz * rows.scale + rows.shift, rgb)


def unpacked(values: np.ndarray, text: bool, reading: Reading) -> np.ndarray:
    """PCL's colours: 0xAARRGGBB in the bits of a float, or (some text files) as its value.

    A float that is no number has no colour (NaN) where it was text; in a binary file its bits may
    well be a colour whose alpha is 255, and only the bits of the usual NaN are none.
    """
    if values.dtype.itemsize != 4:
        raise PolysenseError(
            f"{reading.name} has packed colours of {values.dtype.itemsize} bytes; four are read"
        )
    bits = values.view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
    lost = np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        plain = (values >= 1) & (values < 2**24)
        bits = np.where(plain, np.nan_to_num(values * plain).astype(np.uint32), bits)
        lost = ~np.isfinite(values) if text else bits == NAN_BITS
    rgb = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], 1).astype(np.float32) / 255
    rgb[lost] = np.nan
    return rgb


def ply_elements(data: bytes, name: str) -> tuple[str, dict[str, tuple[int, list]], int]:
    """Return a PLY header: format, {element: (count, [(property, type; None: a list)])}, length."""
    header, end, rest = data[:HEADER_BYTES].partition(b"end_header")
    if not data.startswith(b"ply") or not end:
        raise PolysenseError(f"{name} is no PLY file: it lacks the words ply and end_header")
    layout, elements, columns = "", {}, []
    for line in header.decode("ascii", errors="replace").lower().splitlines():
        match line.split():
            case ["format", kind, _]:
                layout = kind
            case ["element", element, count]:
                columns = []
                elements[element] = (int(count), columns)
            case ["property", "list", _, _, label]:
                columns.append((label, None))
            case ["property", kind, label]:
                if kind not in PLY_TYPES:
                    raise PolysenseError(f"{name} has a PLY property of type {kind!r}: unknown")
                columns.append((label, PLY_TYPES[kind]))
    newline = b"\r\n" if rest.startswith(b"\r\n") else b"\n"
    return layout, elements, len(header) + len(end) + len(newline)


def ply_rows(data: bytes, name: str) -> Rows:
    """Where the vertices of a PLY file lie."""
    layout, elements, offset = ply_elements(data, name)
    order = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}.get(layout)
    if order is None or "vertex" not in elements:
        raise PolysenseError(f"{name} has PLY format {layout!r} or no vertices: it cannot be read")
    skip = 0
    for element, (count, columns) in elements.items():
        if any(kind is None for _, kind in columns):
            raise PolysenseError(f"{name} has a list before its PLY vertices end: save it plainer")
        dtype = np.dtype([(label, order + kind) for label, kind in columns])
        if element == "vertex":
            return Rows(dtype, count, offset, text=layout == "ascii", skip=skip)
        skip += count if layout == "ascii" else 0
        offset += 0 if layout == "ascii" else count * dtype.itemsize
    raise AssertionError("unreachable: the vertices are among the elements")


def pcd_rows(data: bytes, name: str) -> Rows:
    """Where the points of a PCD file lie (DATA ascii or binary)."""
    header, offset = {}, 0
    while "data" not in header:
        end = data.find(b"\n", offset, HEADER_BYTES)
        if end < 0:
            raise PolysenseError(f"{name} is no PCD file: its header lacks a line DATA")
        words = data[offset:end].decode("ascii", errors="replace").lower().split("#")[0].split()
        offset = end + 1
        if words:
            header[words[0]] = words[1:]
    if header["data"] not in (["ascii"], ["binary"]):
        raise PolysenseError(
            f"{name} has DATA {' '.join(header['data'])}, which is not read: convert it with "
            "pcl_convert_pcd_ascii_binary IN.pcd OUT.pcd 1"
        )
    columns, counts = [], header.get("count", ["1"] * len(header["fields"]))
    fields = zip(header["fields"], header["type"], header["size"], counts, strict=True)
    for label, kind, size, count in fields:
        for part in range(int(count)):  # "_" pads, perhaps more than once: names must differ
            unique = label if part == 0 and label != "_" else f"{label} {len(columns)}"
            columns.append((unique, f"<{kind}{size}"))
    total = header.get("points") or [int(header["width"][0]) * int(header["height"][0])]
    return Rows(np.dtype(columns), int(total[0]), offset, text=header["data"] == ["ascii"])


def las_rows(data: bytes, name: str) -> Rows:
    """Where the points of a LAS file lie; compressed ones (LAZ) are refused."""
    if not data.startswith(b"LASF"):
        raise PolysenseError(f"{name} is no LAS file: it lacks the signature LASF")
    offset, kind, length, count = struct.unpack_from("<96xI4xBHI", data)
    if kind >= 128:
        raise PolysenseError(f"{name} is compressed (LAZ): decompress it to LAS with laszip")
    if kind > 10:
        raise PolysenseError(f"{name} has LAS point format {kind}; those read are 0 to 10")
    if data[25] >= 4:
        (count,) = struct.unpack_from("<Q", data, 247)
    names, red = list("xyz"), LAS_COLOURS.get(kind)
    kinds, places = ["<i4"] * 3, [0, 4, 8]
    if red is not None:
        names += ["red", "green", "blue"]
        kinds, places = [*kinds, *["<u2"] * 3], [*places, red, red + 2, red + 4]
    dtype = np.dtype({"names": names, "formats": kinds, "offsets": places, "itemsize": length})
    numbers = struct.unpack_from("<6d", data, 131)
    return Rows(dtype, count, offset, scale=numbers[:3], shift=numbers[3:])


def has_point_columns(text: str) -> bool:
    """Whether a text's first lines are a table of points: three to nine columns a row (x y z, and
    perhaps an intensity, a colour, a normal), which are called x, y and z if they have names."""
    names: list[str] = []
    for line in text.lower().splitlines()[:100]:
        cells = re.split(r"[\s,;]+", line.strip(" \t\r,;#/"))
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            names = cells
            continue
        if len(numbers) >= 3:
            return len(numbers) <= 9 and (len(names) != len(cells) or {"x", "y", "z"} <= set(names))
    return False
