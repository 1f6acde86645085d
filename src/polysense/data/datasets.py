"""A data set's files become records: a manifest of lines, shards, or a form of formats/.

A manifest is JSONL, a line a sample: {"image": "cat.png", "caption": "A cat."}, paths relative to
the manifest; or, as LLaVA's are, one JSON list (.json). Shards are tar archives, named by a folder
or a pattern. docs/own-data.md has every form of line. All is checked before any work.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polysense.data.formats import FORMATS, TAKEN
from polysense.data.formats.line import Line
from polysense.data.formats.manifest import TEXT_KEYS, load_json, parse_values
from polysense.data.formats.webdataset import names_shards, read_shards
from polysense.data.records import Record, Split, is_held_out, split_records, with_unique_keys
from polysense.errors import PolysenseError

__all__ = ["TEXT_KEYS", "Record", "Split", "is_held_out", "read_manifest", "split_records"]


def read_manifest(path: str | Path, modalities: Sequence[str]) -> list[Record]:
    """Read and check a manifest or shards. Errors name the file, the line and what is wrong."""
    path = Path(path).expanduser()
    if names_shards(path):
        return with_unique_keys(read_shards(path, modalities), str(path))
    form = next((form for form in FORMATS.values() if form.takes(path)), None)
    lines = form.lines_of(path, modalities) if form else lines_of(path, modalities)
    found = [
        parse_values(line.values, line.root, modalities, line.where, line.name) for line in lines
    ]
    records = [record for record in found if record is not None]
    if not records:
        what = f"has no line of {', '.join(modalities)} alone" if found else "is empty"
        raise PolysenseError(
            f"manifest {str(path)!r} {what}: write one line per sample, like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        )
    return with_unique_keys(records, str(path))


def lines_of(path: Path, modalities: Sequence[str]) -> Iterator[Line]:
    """Yield every line of a JSONL file, or item of a JSON list."""
    text = read_utf8(path, modalities)
    if text.lstrip().startswith("["):
        for number, item in enumerate(load_json(text, str(path)), start=1):
            yield Line(item, f"{path}, item {number}", path.parent)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield Line(load_numbered(line, where, number), where, path.parent)


def load_numbered(line: str, where: str, number: int) -> Any:
    """Return a line's JSON; where the first is none, the error says what data may be."""
    try:
        return load_json(line, where)
    except PolysenseError as error:
        raise PolysenseError(f"{error}. Data are {TAKEN}" if number == 1 else str(error)) from error


def read_utf8(path: Path, modalities: Sequence[str]) -> str:
    """Return a manifest's text, without the mark that Windows' editors put before it."""
    like = f'{{"{modalities[0]}": "file", "caption": "..."}}'
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: {error.strerror}. Data are {TAKEN}; a "
            f"line of a manifest is like {like}"
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PolysenseError(f"manifest {str(path)!r} is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: line {line} is no UTF-8 text. Data "
            f"are {TAKEN}; a line of a manifest is like {like}"
        ) from error
