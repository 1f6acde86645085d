"""What the names of columns say, whoever wrote them: "Gyro.X (°/s)", "X [m]", "diffuse_red".

Points and motion share this: columns are found by their names, not by their places, and what a name
says of a unit is kept beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

AXES = "xyz"
SIGNS = {
    "²": "2", "⁻": "-", "¹": "1", "·": " ", "^": "", "µ": "u", "μ": "u",
    "°": "deg ", "º": "deg ", "˚": "deg ",
}  # fmt: skip
POINT_AXIS = re.compile(
    r"^(?:(?:points?|pt|p|pos|position|coords?|coordinate|vertex)_?)?(?P<axis>[xyz])"
    r"(?:_?(?:coords?|coordinate|pos))?(?:_(?:m|cm|mm|km|ft))?$"
)
WORDS_OF_AXES = {"easting": "x", "northing": "y", "elevation": "z"}
COLOUR = re.compile(r"^(?:(?:diffuse|scalar|colou?r|rgb|rgba)_?)?(?P<part>red|green|blue|r|g|b)f?$")
PACKED = ("rgb", "rgba")
HARMONICS = ("f_dc_0", "f_dc_1", "f_dc_2")
TINT = re.compile(r"colou?r|^(?:f_dc_\d+|rgba?|albedo|hue|hsv)$")


def plain(name: object) -> str:
    """Return a column's name in lower case, words joined by _: "Gyro.X (deg/s)" -> gyro_x_deg_s."""
    text = str(name)
    for sign, word in SIGNS.items():
        text = text.replace(sign, word)
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def listed(columns: Iterable[object], most: int = 20) -> str:
    """Return columns as errors list them: the first ones by name, the others by their number."""
    names = [str(column) for column in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def point_axis(name: object) -> str | None:
    """Return which coordinate ("x", "y", "z") a column holds, by its name."""
    word = plain(name)
    match = POINT_AXIS.match(word)
    return match["axis"] if match else WORDS_OF_AXES.get(word)


def colour_part(name: object) -> str | None:
    """Return which part of a colour ("r", "g", "b") a column holds, by its name."""
    match = COLOUR.match(plain(name))
    return match["part"][0] if match else None


def is_tint(name: object) -> bool:
    """Whether a name speaks of a colour in some form, also one that is not read."""
    return colour_part(name) is not None or TINT.search(plain(name)) is not None
