"""Tar archives with random access: an index of where each member's bytes lie.

Walking through an archive's headers takes time, so it is done once; the index is kept beside it as
`000.tar.index.json` and made anew when the archive's size or date has changed. Damage is found
here, before any training: tarfile itself stops without a word at a header that it cannot read.
"""

from __future__ import annotations

import json
import os
import tarfile
from functools import lru_cache
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileSlice

INDEX = ".index.json"
VERSION = 1
BLOCK = 512  # bytes: a tar's unit; one of zeros says that it ends here
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7z": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
Entry = tuple[str, int, int]  # name, start, size
Stamp = tuple[int, int]  # an archive's size in bytes, and when it was changed, in nanoseconds


def read_members(archive: Path) -> dict[str, FileSlice]:
    """Return {name: where its bytes lie} of every regular file in a tar, in its order.

    Raises PolysenseError, in one line that names the archive, where it is damaged or compressed.
    """
    try:
        state = archive.stat()
    except OSError as error:
        raise PolysenseError(
            f"archive {str(archive)!r} cannot be read: {error.strerror}"
        ) from error
    return dict(indexed(archive, (state.st_size, state.st_mtime_ns)))


@lru_cache(maxsize=8)
def indexed(archive: Path, stamp: Stamp) -> dict[str, FileSlice]:
    """Return the members by the index kept beside, made if there is none for this `stamp`."""
    entries = load_index(archive, stamp)
    if entries is None:
        entries = walk(archive, stamp[0])
        save_index(archive, stamp, entries)
    members: dict[str, FileSlice] = {}
    for name, start, size in entries:
        if name in members:
            raise PolysenseError(
                f"archive {str(archive)!r} holds {name!r} twice: pack it anew, each file once"
            )
        members[name] = FileSlice(str(archive), name, start, size)
    return members


def walk(archive: Path, total: int) -> list[Entry]:
    """Read every header of a tar of `total` bytes."""
    entries: list[Entry] = []
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise PolysenseError(
                        f"archive {str(archive)!r}: {member.name!r} is a link, a device or a "
                        "sparse file: pack plain files (tar --dereference)"
                    )
                if member.offset_data + member.size > total:
                    raise PolysenseError(
                        f"archive {str(archive)!r} is cut short in {member.name!r}"
                    )
                entries.append((member.name, member.offset_data, member.size))
            end = tar.offset
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, PolysenseError):
            raise
        raise PolysenseError(broken(archive, str(error))) from error
    check_end(archive, end)
    return entries


def broken(archive: Path, reason: str) -> str:
    """Say what is wrong with a file that is no tar."""
    with archive.open("rb") as file:
        start = file.read(4)
    for magic, kind in COMPRESSED.items():
        if start.startswith(magic):
            return (
                f"archive {str(archive)!r} is compressed ({kind}), so its samples cannot be read "
                "in any order: unpack it to a plain .tar"
            )
    return f"archive {str(archive)!r} is damaged or no tar: {' '.join(reason.split())}"


def check_end(archive: Path, end: int) -> None:
    """Check that a block of zeros follows the last header, and nothing else does."""
    with archive.open("rb") as file:
        file.seek(end)
        rest = file.read(BLOCK)
        if len(rest) == BLOCK and not any(rest):
            while rest := file.read(2**20):
                if any(rest):
                    raise PolysenseError(
                        f"archive {str(archive)!r} goes on after its end (byte {end:,}): archives "
                        "that were joined must be packed anew"
                    )
            return
    raise PolysenseError(f"archive {str(archive)!r} is damaged or cut short at byte {end:,}")


def load_index(archive: Path, stamp: Stamp) -> list[Entry] | None:
    """Return the entries kept beside an archive; None where they are missing, stale or damaged."""
    try:
        kept = json.loads(Path(f"{archive}{INDEX}").read_text(encoding="utf-8"))
        if kept["version"] != VERSION or kept["archive"] != list(stamp):
            return None
        entries = [(str(name), int(start), int(size)) for name, start, size in kept["members"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    ends = [start + size for _, start, size in entries if min(start, size) >= 0]
    sound = len(ends) == len(entries) and max(ends, default=0) <= stamp[0]
    return entries if sound else None


def save_index(archive: Path, stamp: Stamp, entries: list[Entry]) -> None:
    """Write the index whole or not at all; where nothing may be written, none is kept."""
    kept = {"version": VERSION, "archive": stamp, "members": entries}
    scratch = Path(f"{archive}{INDEX}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(kept), encoding="utf-8")
        scratch.replace(f"{archive}{INDEX}")
    except OSError:
        scratch.unlink(missing_ok=True)
