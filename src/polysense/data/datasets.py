"""A manifest of files and texts becomes records; which of them are held out is fixed by a hash.

A manifest is JSONL: {"image": "cat.png", "caption": "A cat.", "category": "animals"}, the key of
the file being the name of a sense, with paths relative to the manifest. Optional: "key" (default:
the path), "split": "train" (never held out), "source" (where it is from: "real" or "simulated").
Every line is checked before any work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.types import Media

TEXT_KEYS = ("caption", "category", "key", "split", "source")


@dataclass(frozen=True)
class Record:
    """One line of a manifest: its signals and what is said of them."""

    key: str
    media: tuple[Media, ...]
    caption: str
    category: str = ""
    split: str = ""
    source: str = ""

    @property
    def senses(self) -> str:
        """The senses of its signals, as "audio+video"."""
        return "+".join(sorted({media.modality for media in self.media}))


@dataclass(frozen=True)
class Split:
    """The records to train on and those held out."""

    train: list[Record]
    held_out: list[Record]

    def without(self, bad: Container[Media]) -> Split:
        """Return the split without records that hold a signal of `bad`."""

        def good(records: list[Record]) -> list[Record]:
            return [r for r in records if not any(media in bad for media in r.media)]

        return Split(good(self.train), good(self.held_out))


def is_held_out(key: str, share: float) -> bool:
    """Whether `key` falls into the held-out `share`: a function of the key alone (SHA-256)."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0x1_0000_0000 < share


def split_records(records: Sequence[Record], share: float) -> Split:
    """Split records by their keys; a record whose line says "split": "train" is never held out."""
    train, held_out = [], []
    for record in records:
        held = record.split == "held_out" or (
            record.split != "train" and is_held_out(record.key, share)
        )
        (held_out if held else train).append(record)
    if not train or not held_out:
        raise PolysenseError(
            f"{len(records)} records split into {len(train)} to train on and {len(held_out)} held "
            "out; both are needed: give more records or another data.held_out"
        )
    return Split(train, held_out)


def read_manifest(path: str | Path, modalities: Sequence[str]) -> list[Record]:
    """Read and check a manifest. Errors name the file, the line and what is wrong with it."""
    path = Path(path).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise PolysenseError(
            f"manifest {str(path)!r} cannot be read: {reason}. It is a JSONL file with lines like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        ) from error
    records = [
        parse_line(line, path.parent, modalities, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not records:
        raise PolysenseError(
            f"manifest {str(path)!r} is empty: write one line per sample, like "
            f'{{"{modalities[0]}": "file", "caption": "..."}}'
        )
    check_keys(records, path)
    return records


def parse_line(line: str, root: Path, modalities: Sequence[str], where: str) -> Record:
    """Check one line of a manifest and return its record; paths must stay below `root`."""
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise PolysenseError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(values, Mapping):
        raise PolysenseError(f"{where}: a line must be a JSON object, not {type(values).__name__}")
    unknown = sorted(set(values) - set(TEXT_KEYS) - set(modalities))
    if unknown:
        raise PolysenseError(
            f"{where}: unknown key {unknown[0]!r}. Known: {', '.join([*modalities, *TEXT_KEYS])}"
        )
    media = tuple(
        Media(name, str(find_file(values[name], root, where)))
        for name in modalities
        if name in values
    )
    if not media:
        raise PolysenseError(f"{where}: no signal; it needs one of {', '.join(modalities)}")
    texts = {name: text_value(values, name, where) for name in TEXT_KEYS if name in values}
    if not texts.get("caption"):
        raise PolysenseError(f"{where}: no caption: say in words what the signal is")
    key = texts.get("key") or Path(str(values[media[0].modality])).as_posix()
    rest = {name: texts.get(name, "") for name in ("category", "split", "source")}
    return Record(key, media, texts["caption"], **rest)


def text_value(values: Mapping[str, Any], name: str, where: str) -> str:
    """Return values[name] as stripped text; anything but a string is an error."""
    if not isinstance(values[name], str):
        raise PolysenseError(f"{where}: {name!r} must be text, not {values[name]!r}")
    return values[name].strip()


def find_file(name: Any, root: Path, where: str) -> Path:
    """Return the file a line names, which must exist below `root`."""
    if not isinstance(name, str) or not name:
        raise PolysenseError(f"{where}: a file name must be text, not {name!r}")
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise PolysenseError(
            f"{where}: {name!r} lies outside the manifest's folder {str(root)!r}: "
            "put the manifest at or above its files"
        )
    if not path.is_file():
        raise PolysenseError(f"{where}: file {name!r} does not exist below {str(root)!r}")
    return path


def check_keys(records: Sequence[Record], path: Path) -> None:
    """Check that no two records share a key: one could be trained on and held out at once."""
    seen: set[str] = set()
    for record in records:
        if record.key in seen:
            raise PolysenseError(f"{path}: two lines have the key {record.key!r}; keys are unique")
        seen.add(record.key)
