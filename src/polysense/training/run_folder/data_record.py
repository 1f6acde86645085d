"""What a run was trained on, so that it is not continued on something else.

A continued run promises the weights of an unbroken one, which holds only for the same data. In:
the records of a run. Out: data.json in its folder, of each record its side of the split, a digest
of its text and one of its files; of each file its size and time beside the digest, so that a file
that nobody touched is not read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polysense.atomic_write import write_text
from polysense.data.records import Record, Split
from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileSlice, content_digest, parts_of
from polysense.types import Media

FILE = "data.json"
DIGITS = 16  # hexadecimal, of SHA-256: enough to tell data of one run apart


@dataclass(frozen=True)
class DataRecord:
    """records: {key: [side, digest of the text, digest of the files]}; files: {path: [size, time in
    nanoseconds, digest]}."""

    records: dict[str, list[str]]
    files: dict[str, list[Any]] = field(default_factory=dict)


def record_data(split: Split, earlier: DataRecord | None = None) -> DataRecord:
    """Return what there is to remember of a split; files as they were `earlier` are not read."""
    files: dict[str, list[Any]] = {}
    known = earlier.files if earlier else {}
    records = {
        record.key: [side, text_digest(record), files_digest(record, known, files)]
        for side, some in (("train", split.train), ("held out", split.held_out))
        for record in some
    }
    return DataRecord(records, files)


def text_digest(record: Record) -> str:
    """Return a digest of all that a record says, and of where its signals stand in it."""
    turns = [
        [
            turn.role,
            [part.modality if isinstance(part, Media) else part.text for part in turn.parts],
        ]
        for turn in record.messages
    ]
    kinds = [media.modality for media in record.media]
    return shortened(json.dumps([record.caption, record.category, turns, kinds]).encode())


def files_digest(record: Record, known: dict[str, list[Any]], files: dict[str, list[Any]]) -> str:
    """Return a digest of the bytes of a record's signals, wherever they lie."""
    parts = [part for media in record.media for part in parts_of(media.source)]
    found = [
        str(part) if isinstance(part, int | float) else file_digest(part, known, files)
        for part in parts
    ]
    return shortened(json.dumps(found).encode())


def file_digest(source: Any, known: dict[str, list[Any]], files: dict[str, list[Any]]) -> str:
    """Return a file's digest, from `known` where its size and time are; enter it into `files`.

    One that cannot be read has none: bad_samples.py tells of it.
    """
    name = str(source)
    if name in files:
        return files[name][2]
    try:
        place = Path(source.archive if isinstance(source, FileSlice) else source).stat()
        before: Any = known.get(name, ())
        size = source.size if isinstance(source, FileSlice) else place.st_size
        if list(before[:2]) == [size, place.st_mtime_ns]:
            digest = before[2]
        else:
            digest = content_digest(source).hexdigest()[:DIGITS]
    except (OSError, PolysenseError):
        return "unreadable"
    files[name] = [size, place.st_mtime_ns, digest]
    return digest


def shortened(content: bytes) -> str:
    """Return the first digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def check_data(folder: Path, now: DataRecord, before: DataRecord | None) -> None:
    """Raise PolysenseError, and say what changed, where a run was begun on other data."""
    if before is None or list(before.records.items()) == list(now.records.items()):
        return
    old, new = before.records, now.records
    both = [key for key in old if key in new]
    kinds = {
        "new": [key for key in new if key not in old],
        "gone": [key for key in old if key not in new],
        "on the other side of the split": [k for k in both if old[k][0] != new[k][0]],
        "with another text": [key for key in both if old[key][1] != new[key][1]],
        "with other files": [key for key in both if old[key][2] != new[key][2]],
    }
    said = [f"{len(keys)} {kind} ({some(keys)})" for kind, keys in kinds.items() if keys]
    raise PolysenseError(
        f"the data of {str(folder)!r} have changed since its training began: lines of the manifest "
        f"are {', '.join(said) or 'in another order'}. A run is trained on one set of data to its "
        "end: give another --run folder to train on these, or the manifest as it was"
    )


def some(keys: Sequence[str]) -> str:
    """Name the first of some keys."""
    return repr(keys[0]) + (", ..." if len(keys) > 1 else "")


def read_data_record(folder: Path) -> DataRecord | None:
    """Return what a run folder remembers of its data; None where it remembers nothing."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return DataRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PolysenseError(f"{path} is damaged: {error}") from error


def write_data_record(folder: Path, record: DataRecord) -> None:
    """Note in a run folder what it is trained on."""
    write_text(folder / FILE, json.dumps(asdict(record)) + "\n")
