"""Signals that are no plain file: a range of bytes in an archive, or several files that make one.

Senses read paths, and a user's own sense may know nothing else. So a range of bytes is laid out as
a file of the same ending for the time of reading, and errors name the archive in its place. Both
kinds are hashable, as everything is that caches look up.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.sources import check_bytes

CHUNK = 2**20


@dataclass(frozen=True)
class FileSlice:
    """`size` bytes from `start` on of the file `archive`, in which they are called `name`."""

    archive: str
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    @property
    def ending(self) -> str:
        """What follows the first dot of its name, like "png" or "nii.gz"."""
        return self.name.rpartition("/")[2].partition(".")[2]

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes, a megabyte at a time; PolysenseError where the archive has changed."""
        try:
            with Path(self.archive).open("rb") as file:
                file.seek(self.start)
                left = self.size
                while left > 0 and (chunk := file.read(min(CHUNK, left))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise PolysenseError(f"{str(self)!r} cannot be read: {error.strerror}") from error
        if left:
            raise PolysenseError(f"{str(self)!r} lacks {left:,} bytes: its archive was cut short")


@dataclass(frozen=True)
class FileGroup(Mapping[str, Any]):
    """Several files, and numbers beside them, that are one signal: {part: source or number}.

    Which parts there are is the sense's affair, as in {"image": picture, "depth": map}.
    """

    parts: tuple[tuple[str, Any], ...]

    def __getitem__(self, name: str) -> Any:
        return dict(self.parts)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.parts))

    def __len__(self) -> int:
        return len(self.parts)

    def __hash__(self) -> int:
        return hash(self.parts)

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.parts)


def read_signal(sense: Modality, source: Any) -> torch.Tensor:
    """Return what `sense` reads of a source, wherever its bytes lie.

    Raises PolysenseError, in one line that names the source; its limit on bytes is checked first.
    """
    with as_files(sense, source) as files:
        return sense.read(files)


def suits(sense: Modality, source: Any) -> bool:
    """Whether a source, wherever its bytes lie, is of the kind of `sense`."""
    try:
        with as_files(sense, source) as files:
            return sense.suits(files)
    except PolysenseError:  # over its limit on bytes
        return False


@contextmanager
def as_files(sense: Modality, source: Any) -> Iterator[Any]:
    """Lay out the ranges of bytes of a source as files; errors name the archive in their place."""
    slices = [part for part in parts_of(source) if isinstance(part, FileSlice)]
    if not slices:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="polysense-") as folder:
        places: dict[FileSlice, str] = {}
        for number, part in enumerate(slices):
            most = getattr(sense, "max_bytes", part.size)  # a user's own may have no limit
            check_bytes(part.size, f"{sense.name} {str(part)!r}", f"{sense.name}.max_bytes", most)
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


def parts_of(source: Any) -> list[Any]:
    """Return the files of a source: those of a group, or itself."""
    return [value for _, value in source.parts] if isinstance(source, FileGroup) else [source]


def laid_out(source: Any, places: Mapping[FileSlice, str]) -> Any:
    """Return `source` with the paths of `places` where it has ranges of bytes."""
    if isinstance(source, FileGroup):
        return FileGroup(tuple((name, laid_out(part, places)) for name, part in source.parts))
    return places[source] if isinstance(source, FileSlice) else source


def content_digest(source: Any) -> hashlib._Hash:
    """Return the SHA-256 of what a source holds; of a range of bytes it is that of the same file.

    Raises PolysenseError where it cannot be read.
    """
    if isinstance(source, FileSlice):
        digest = hashlib.sha256()
        for chunk in source.chunks():
            digest.update(chunk)
        return digest
    if isinstance(source, FileGroup):
        known = {name: group_entry(part) for name, part in source.parts}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    try:
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise PolysenseError(f"file {str(source)!r} cannot be read: {error.strerror}") from error


def group_entry(part: Any) -> Any:
    """Return what stands for a group's part in its digest: a file's own digest, or the number."""
    return part if isinstance(part, int | float) else content_digest(part).hexdigest()
