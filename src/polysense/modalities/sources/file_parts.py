"""Sources that are no plain file: a range of bytes in an archive, or several files that make one.

Both kinds are hashable, as everything is that caches look up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError

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

    Which parts there are is the modality's affair, as in {"image": picture, "depth": map}.
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
