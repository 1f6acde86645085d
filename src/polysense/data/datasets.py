"""A data set's files become records: a manifest of lines, or shards.

A manifest is JSONL, a line a sample: {"image": "cat.png", "caption": "A cat."}, paths relative to
the manifest; or, as LLaVA's are, one JSON list (.json). Shards are tar archives, named by a folder
or a pattern. docs/own-data.md has every form of line. All is checked before any work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from polysense.data.manifest import TEXT_KEYS, parse_line
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
        parse_line(line, path.parent, modalities, where)
        for where, line in lines_of(path, modalities)
    ]
    records = [record for record in found if record is not None]
    if not records:
        what = f"has no line of {', '.join(modalities)} alone" if found else "is empty"
        raise PolysenseError(
            f"manifest {str(path)!r} {what}: write one line per sample, like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        )
    return with_unique_keys(records, str(path))


def lines_of(path: Path, modalities: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (where it stands, JSON) of every line of a JSONL file, or item of a JSON list."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: {reason}. It is a JSONL file with lines like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        ) from error
    if path.suffix == ".json" and text.lstrip().startswith("["):
        try:
            items = json.loads(text)
        except json.JSONDecodeError as error:
            raise PolysenseError(
                f"{path}: not JSON ({error.msg} at line {error.lineno})"
            ) from error
        for number, item in enumerate(items, start=1):
            yield f"{path}, item {number}", json.dumps(item)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line
