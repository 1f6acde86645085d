"""Signals that are no plain file: a range of bytes in an archive, or several files that make one.

Modalities read paths, and a user's own modality may know nothing else. So a range of bytes is laid
out as a file of the same ending for the time of reading, and errors name the archive in its place.
Both kinds are hashable, as everything is that caches look up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.sources.file_checks import check_bytes
from polysense.modalities.sources.file_parts import FileSlice, laid_out, parts_of


def read_signal(modality: Modality, source: Any) -> torch.Tensor:
    """Return what `modality` reads of a source, wherever its bytes lie.

    Raises PolysenseError, in one line that names the source; its limit on bytes is checked first.
    """
    with as_files(modality, source) as files:
        return modality.read(files)


def suits(modality: Modality, source: Any) -> bool:
    """Whether a source, wherever its bytes lie, is of the kind of `modality`."""
    try:
        with as_files(modality, source) as files:
            return modality.suits(files)
    except PolysenseError:  # over its limit on bytes
        return False


@contextmanager
def as_files(modality: Modality, source: Any) -> Iterator[Any]:
    """Lay out the ranges of bytes of a source as files; errors name the archive in their place."""
    slices = [part for part in parts_of(source) if isinstance(part, FileSlice)]
    if not slices:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="polysense-") as folder:
        places: dict[FileSlice, str] = {}
        for number, part in enumerate(slices):
            most = getattr(modality, "max_bytes", part.size)  # a user's own may have no limit
            check_bytes(
                part.size, f"{modality.name} {str(part)!r}", f"{modality.name}.max_bytes", most
            )
            path = Path(folder) / f"{number}.{part.ending[-40:]}"
            with path.open("wb") as file:
                file.writelines(part.chunks())
            places[part] = str(path)
        try:
            yield laid_out(source, places)
        except PolysenseError as error:
            message = str(error)
            for part, place in places.items():
                message = message.replace(place, str(part))
            raise PolysenseError(message) from error
