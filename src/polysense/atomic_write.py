"""Files and folders that appear whole or not at all: written beside their place, then renamed.

A reader, or the next start of a killed run, meets the old one or the new one, never half of one.
What is renamed was flushed to the disk before, so that a power cut leaves no empty file either.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from polysense.errors import PolysenseError

UNFINISHED = ".writing-"  # in the name of what is being written

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the disk takes no file of this size",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing there is not permitted",
    errno.EPERM: "writing there is not permitted",
    errno.EIO: "the disk reports an error",
    errno.EEXIST: "a file is in its place",
    errno.EISDIR: "a folder is in its place",
    errno.ENOTDIR: "one of its parents is a file",
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path beside `path`, whose file takes its place when the block ends well.

    Where the block raises, `path` stays as it was and nothing is left behind. The scratch name is
    hidden and this process's own, so that processes that write the same file do not mix. A full or
    forbidden disk is a PolysenseError that names `path`.
    """
    scratch = scratch_beside(path)
    with disk_errors(path):
        try:
            yield scratch
            flush(scratch)
            scratch.replace(path)
            flush(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty scratch folder beside `path`, which takes its place when the block ends well.

    As `replacing` does for a file. An older folder at `path` is renamed aside for the moment of the
    exchange, and put back where the exchange fails.
    """
    scratch, aside = scratch_beside(path), path.with_name(f".{path.name}{UNFINISHED}old")
    with disk_errors(path):
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            yield scratch
            flush_all(scratch)
            exchange(scratch, path, aside)
            flush(path.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def exchange(new: Path, path: Path, aside: Path) -> None:
    """Rename the folder `new` to `path`; an older one goes `aside`, and away once all is well."""
    shutil.rmtree(aside, ignore_errors=True)
    if not path.exists():
        new.replace(path)
        return
    path.replace(aside)
    try:
        new.replace(path)
    except OSError:
        aside.replace(path)
        raise
    shutil.rmtree(aside)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a scratch folder beside `folder` that becomes it when the block ends well.

    Where another process has made `folder` in the meantime, that one stays: somebody may be reading
    it, and what is made here is the same whoever makes it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        inside = Path(scratch) / "whole"
        inside.mkdir()
        yield inside
        try:
            inside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8, whole or not at all."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def scratch_beside(path: Path) -> Path:
    """Return where this process writes what is to become `path`: a rename between disks would not
    be atomic, so it lies beside."""
    return path.with_name(f".{path.name}{UNFINISHED}{os.getpid()}")


def remove_unfinished(folder: Path, idle_seconds: float = 0.0) -> None:
    """Remove what killed processes left half-written in `folder`.

    `idle_seconds` is how long it must have been left alone: 0 where this process alone writes, more
    in a folder that others share. A folder that was put aside, and whose successor did not come,
    takes its place again.
    """
    for path in list(folder.glob(f".*{UNFINISHED}*")):
        try:
            if time.time() - path.stat().st_mtime < idle_seconds:
                continue
        except FileNotFoundError:  # its writer has ended in the meantime
            continue
        name, writer = path.name[1:].rsplit(UNFINISHED, 1)
        if writer == "old" and not (folder / name).exists():
            path.replace(folder / name)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the disk's refusals to write `path` into one line; other errors stay as they are."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason, place = disk_reason(error), getattr(error, "filename", None)
        elsewhere = place is not None and not str(place).startswith(str(path.parent))
        if reason is None or elsewhere:  # the block may have read other files
            raise
        raise PolysenseError(
            f"{str(path)!r} cannot be written: {reason}; what stood there before is unchanged"
        ) from error


def disk_reason(error: Exception) -> str | None:
    """Return why the disk refused, in words, or None where the error is of another kind."""
    number = getattr(error, "errno", None)
    if number is not None:
        return REASONS.get(number)
    # safetensors, in Rust, and shutil.copytree tell the number only in their texts.
    return next(
        (
            reason
            for number, reason in REASONS.items()
            if f"(os error {number})" in str(error) or f"[Errno {number}]" in str(error)
        ),
        None,
    )


def flush_all(folder: Path) -> None:
    """Have the disk hold every file and folder below `folder`, and itself."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
