"""Where a signal comes from: a file or bytes in memory, measured before anything reads them.

Pipes and devices, which may never end, are refused; so are empty files and those over the limit.
What parsers raise over damaged content becomes one line that names the source.
"""

from __future__ import annotations

import io
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from av.error import DecoderNotFoundError, FFmpegError, PatchWelcomeError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from PIL.Image import DecompressionBombError

from polysense.errors import PolysenseError

# What the libraries' parsers raise over bytes that are not what they expect.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, LookupError, TypeError, NameError,
    AttributeError, ArithmeticError, AssertionError, MemoryError, struct.error, zlib.error,
    zipfile.BadZipFile, tokenize.TokenError, DecompressionBombError, FFmpegError, ImageFileError,
    HeaderDataError,
)  # fmt: skip

UNSUPPORTED = {
    "memory": "needs more memory than there is: make it smaller",
    "FFmpeg": "is of a kind that FFmpeg does not decode: convert it to another",
}


def source_name(kind: str, source: Any) -> str:
    """How errors call a source: "video 'a.mp4'", or "the video in memory"."""
    if isinstance(source, str | Path):
        return f"{kind} {str(source)!r}"
    return f"the {kind} in memory"


def check_bytes(size: int, name: str, limit: str, max_bytes: int) -> None:
    """Refuse nothing at all and too much; `limit` is the option's name, as in "image.max_bytes"."""
    if size == 0:
        raise PolysenseError(f"{name} is empty (0 bytes)")
    if size > max_bytes:
        raise PolysenseError(f"{name} has {size:,} bytes; the limit is {limit}={max_bytes:,}")


def regular_file(source: str | Path, name: str, limit: str, max_bytes: int) -> Path:
    """Return the path of a file that is there, regular, not empty and within the limit.

    Raises PolysenseError where it is not, and ValueError of a path that cannot be one.
    """
    path = Path(source).expanduser()
    try:
        state = path.stat()
    except OSError as error:
        raise PolysenseError(f"{name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(state.st_mode):
        kind = "directory" if stat.S_ISDIR(state.st_mode) else "device or pipe"
        raise PolysenseError(f"{name} is a {kind}: name a file")
    check_bytes(state.st_size, name, limit, max_bytes)
    return path


@contextmanager
def open_source(
    source: str | Path | bytes | bytearray, name: str, limit: str, max_bytes: int
) -> Iterator[BinaryIO]:
    """Open a path or bytes for reading once its size is known to be within the limit.

    Raises PolysenseError as `regular_file` does; `name` is what `source_name` returned.
    """
    if isinstance(source, bytes | bytearray):
        check_bytes(len(source), name, limit, max_bytes)
        yield io.BytesIO(source)
        return
    with regular_file(source, name, limit, max_bytes).open("rb") as file:
        yield file


def file_bytes(
    source: str | Path | bytes | bytearray, name: str, limit: str, max_bytes: int
) -> bytes:
    """Return the whole content of a path or bytes, within the limit."""
    with open_source(source, name, limit, max_bytes) as file:
        return file.read()


@contextmanager
def one_line_errors(name: str, verdict: str = "damaged or cut short") -> Iterator[None]:
    """Turn what reading may raise into one line that names the source; silence warnings.

    `verdict` is what damaged content is said to be.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parsers, over values that are dropped anyway
            yield
    except PolysenseError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise PolysenseError(f"{name} cannot be read: {error.strerror}") from error
    except (MemoryError, PatchWelcomeError, DecoderNotFoundError) as error:
        reason = "memory" if isinstance(error, MemoryError) else "FFmpeg"
        raise PolysenseError(f"{name} {UNSUPPORTED[reason]}") from error
    except DAMAGE as error:
        # FFmpeg's own words without the rest of its log.
        reason = str(getattr(error, "strerror", None) or error)
        reason = " ".join(reason.split())[:200] or type(error).__name__
        raise PolysenseError(f"{name} is {verdict}: {reason}") from error
