"""A source as a word, and back: what people type and what evaluation.json keeps.

pictures/cat.png                     a file
shards/000.tar/cat.png               a file in an archive
image=room.png,depth=room_depth.png  several files (or numbers) that are one signal
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileGroup, FileSlice
from polysense.modalities.sources.tar_index import read_members

GROUP = re.compile(r"\w+=[^,]+(,\w+=[^,]+)+")
ARCHIVE = ".tar"


def parse_source(word: str) -> Any:
    """Return the source that `word` means; PolysenseError where there is no such file."""
    if is_file(word):
        return str(Path(word).expanduser())
    if GROUP.fullmatch(word):
        return FileGroup(tuple(part_of_word(part) for part in word.split(",")))
    archive = next((p for p in Path(word).parents if p.suffix == ARCHIVE and is_file(p)), None)
    if archive is None:
        raise PolysenseError(f"file {word!r} does not exist")
    name, members = Path(word).relative_to(archive).as_posix(), read_members(archive)
    if name not in members:
        raise PolysenseError(f"archive {str(archive)!r} holds no {name!r}")
    return members[name]


def is_file(name: str | Path) -> bool:
    """Whether `name` is an existing file's; a whole paragraph is none, whatever the system says."""
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def part_of_word(text: str) -> tuple[str, Any]:
    """Return one part of a group: a file, or a number ("rate=50")."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        return name, parse_source(value)


def relative_source(word: str) -> str:
    """Return a word of whole paths with those below the working folder relative to it."""
    if GROUP.fullmatch(word) and not is_file(word):
        parts = (part.partition("=") for part in word.split(","))
        return ",".join(f"{name}={relative_source(value)}" for name, _, value in parts)
    below = Path(word).is_relative_to(Path.cwd())
    return os.path.relpath(word) if below else word


def format_source(source: Any) -> str:
    """Return the word that means `source`."""
    return str(source) if isinstance(source, FileGroup | FileSlice) else os.fspath(source)
