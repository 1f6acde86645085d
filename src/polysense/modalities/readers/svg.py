"""Drawings: an SVG file's bytes become a PNG's bytes, through resvg (the package resvg-py).

It exists because a drawing is a program, not a picture: nested deeply enough it overflows resvg's
stack, `<use>` multiplies work without end, and `<image href>` reads files. So a drawing is checked
first, and drawn by a child process with limits on time and memory.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from xml.parsers import expat

from polysense.errors import PolysenseError

DEEPEST = 200  # elements inside one another; resvg overflows its stack at some thousands
SECONDS = 20
MEMORY = 2 * 2**30  # bytes of address space

# The child: drawing on standard input, side in pixels as argument, PNG on standard output.
CHILD = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass  # not on Windows
import resvg_py
side = int(sys.argv[1])
text = sys.stdin.buffer.read().decode()
try:
    png = resvg_py.svg_to_bytes(svg_string=text, width=side, height=side, dpi=96)
except ValueError as error:
    sys.exit(str(error))
sys.stdout.buffer.write(bytes(png))
"""


def is_svg(data: bytes) -> bool:
    """Whether `data` is XML with an <svg> element near its start, whatever the file's name says."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<") and b"<svg" in start


def draw(data: bytes, side: int, name: str) -> bytes:
    """Draw an SVG so that it fits a square of `side` pixels; returns a PNG with transparency.

    Raises PolysenseError, naming `name`, where resvg-py is missing, the drawing is damaged, refers
    to other files, is nested too deeply, or takes too much time or memory.
    """
    if importlib.util.find_spec("resvg_py") is None:
        raise PolysenseError(f"{name} is an SVG drawing: `pip install resvg-py` to read it, or PNG")
    check(data, name)
    try:
        # -P: a file of that name in the current folder is not what is imported.
        done = subprocess.run(
            [sys.executable, "-P", "-c", CHILD, str(side)],
            input=data.removeprefix(b"\xef\xbb\xbf"),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PolysenseError(f"{name} takes more than {SECONDS} s to draw: simplify it") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["the drawer crashed"]
        raise PolysenseError(f"{name} cannot be drawn: {words[-1]}")
    return done.stdout


def check(data: bytes, name: str) -> None:
    """Refuse a drawing that is no UTF-8 XML, nests deeply or names other files."""
    depth = 0

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise PolysenseError(f"{name} nests more than {DEEPEST} elements: it is not drawn")
        if element.rpartition(":")[2] not in ("image", "feImage"):
            return
        for key, value in attributes.items():
            place = value.strip().lower()
            inside = place.startswith(("#", "data:")) and not place.startswith("data:image/svg")
            if key.rpartition(":")[2] == "href" and not inside:
                raise PolysenseError(
                    f"{name} refers to another picture ({value[:60]!r}), which is not read: embed "
                    "it as PNG or JPEG"
                )

    def end(element: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate("utf-8")  # as the child decodes it, whatever the file declares
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise PolysenseError(f"{name} is no well-formed SVG: {error}") from error
