"""A data set's files become records: a manifest of lines, or shards.

A manifest is JSONL, a line a sample: {"image": "cat.png", "caption": "A cat."}, paths relative to
the manifest; or, as LLaVA's are, one JSON list (.json). Shards are tar archives, named by a folder
or a pattern. docs/own-data.md has every form of line. All is checked before any work.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polysense.data.manifest import TEXT_KEYS, load_json, parse_values
from polysense.data.records import Record, Split, is_held_out, split_records, with_unique_keys
from polysense.data.tar_samples import names_shards, read_shards
from polysense.errors import PolysenseError

__all__ = ["TEXT_KEYS", "Record", "Split", "is_held_out", "read_manifest", "split_records"]


def read_manifest(path: str | Path, modalities: Sequence[str]) -> list[Record]:
    """Read and check a manifest or shards. Errors name the file, the line and what is wrong."""
    path = Path(path).expanduser()
    if names_shards(path):
        return with_unique_keys(read_shards(path, modalities), str(path))
    found = [
        parse_values(values, path.parent, modalities, where)
        for where, values in lines_of(path, modalities)
    ]
    records = [record for record in found if record is not None]
    if not records:
        what = f"has no line of {', '.join(modalities)} alone" if found else "is empty"
        raise PolysenseError(
            f"manifest {str(path)!r} {what}: write one line per sample, like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        )
    return with_unique_keys(records, str(path))


def lines_of(path: Path, modalities: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield (where it stands, values) of every line of a JSONL file, or item of a JSON list."""
    text = read_utf8(path, modalities)
    if text.lstrip().startswith("["):
        for number, item in enumerate(load_json(text, str(path)), start=1):
            yield f"{path}, item {number}", item
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, load_json(line, where)


def read_utf8(path: Path, modalities: Sequence[str]) -> str:
    """Return a manifest's text, without the mark that Windows' editors put before it."""
    like = f'{{"{modalities[0]}": "file", "caption": "..."}}'
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: {error.strerror}. It is a JSONL file with "
            f"lines like {like}"
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PolysenseError(f"manifest {str(path)!r} is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: line {line} is no UTF-8 text. It is a JSONL "
            f"file with lines like {like}"
        ) from error
