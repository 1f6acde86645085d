"""Files that appear whole or not at all: written beside their place, then renamed.

A reader, or the next start of a killed run, meets the old file or the new one, never half of one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path beside `path`, whose file takes its place when the block ends well.

    Where the block raises, `path` stays as it was and nothing is left behind. The scratch name is
    hidden and this process's own, so that processes that write the same file do not mix.
    """
    scratch = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


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
