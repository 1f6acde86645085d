"""Records: what a data set holds, and which of them are held out.

The split is a function of a record's key, or of the group it is in, and of nothing else: it stays
the same in every run and whatever else is added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from polysense.errors import PolysenseError
from polysense.types import Media, Message

# What lines say of the split, in any case, and the side that is meant.
SPLITS = {
    "": "",
    "train": "train",
    "training": "train",
    "held_out": "held_out",
    "test": "held_out",
    "testing": "held_out",
    "val": "held_out",
    "valid": "held_out",
    "validation": "held_out",
    "dev": "held_out",
    "eval": "held_out",
}


def split_named(word: str) -> str:
    """Return "train" or "held_out" of a line's word for its split, "" of none."""
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in SPLITS:
        known = ", ".join(name for name in SPLITS if name)
        raise PolysenseError(
            f"'split' is {word!r}, and only these words are taken: {known} (all but the first two "
            "are held out; without the key, a hash decides)"
        )
    return SPLITS[name]


@dataclass(frozen=True)
class Record:
    """One sample of a data set: its signals, in reading order, and what is said of them.

    caption   what the signals are; prompts.py asks for it. Or else
    messages  the sample's own turns, signals in their places. A document is one turn of the
              assistant's: nobody asks, and all its text is learnt
    group     records of one group are on one side of the split
    source    where it is from, as "real" or "simulated"
    where     its place in the data, as "pictures.jsonl, line 4", for errors
    data      the manifest it is from, where a stage has one of its own ("": the run's)
    """

    key: str
    media: tuple[Media, ...]
    caption: str = ""
    category: str = ""
    split: str = ""
    source: str = ""
    group: str = ""
    messages: tuple[Message, ...] = ()
    where: str = field(default="", compare=False)
    data: str = ""

    @property
    def modalities(self) -> str:
        """The modalities of its signals, as "audio+video"."""
        return "+".join(sorted({media.modality for media in self.media}))

    @property
    def is_document(self) -> bool:
        """Whether it is text, with or without signals, that nobody asked for."""
        return bool(self.messages) and all(turn.role == "assistant" for turn in self.messages)


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
    """Split records by their groups, or keys; one that says "split": "train" is never held out."""
    train, held_out = [], []
    for record in records:
        side = split_named(record.split)
        held = side == "held_out" if side else is_held_out(record.group or record.key, share)
        (held_out if held else train).append(record)
    if not train or not held_out:
        raise PolysenseError(
            f"{len(records)} records split into {len(train)} to train on and {len(held_out)} held "
            "out; both are needed: give more records or another data.held_out"
        )
    return Split(train, held_out)


def with_unique_keys(records: Sequence[Record], where: str) -> list[Record]:
    """Check that no two records share a key: one could be trained on and held out at once.

    Many lines may be about one file. Those without a key are called after it ("cat.png",
    "cat.png (2)"; the first caption has the name alone), and are of its group: all of them are held
    out, or none.
    """
    owners: dict[str, int] = {}  # of each key, the index of its record
    for index, record in enumerate(records):
        if record.group != record.key:  # a key of its own
            if record.key in owners:
                raise PolysenseError(
                    f"{where}: two lines have the key {record.key!r}; keys are unique "
                    f"({record.where or 'the second'} says it again)"
                )
            owners[record.key] = index
    captions: dict[tuple[str, str], int] = {}
    for index, record in enumerate(records):
        if record.group == record.key and not record.messages:
            if (record.key, record.caption) in captions:
                raise PolysenseError(
                    f"{where}: two lines say the same of {record.key!r}; lines are unique "
                    f"({record.where or 'the second'} says it again)"
                )
            captions[record.key, record.caption] = index
            owners.setdefault(record.key, index)
    counts: Counter[str] = Counter()
    unique = []
    for index, record in enumerate(records):
        key = record.key
        while owners.setdefault(key, index) != index:
            counts[record.key] += 1
            key = f"{record.key} ({counts[record.key] + 1})"
        unique.append(replace(record, key=key))
    groups = shared_groups(records)
    return [replace(record, group=group) for record, group in zip(unique, groups, strict=True)]


def shared_groups(records: Sequence[Record]) -> list[str]:
    """Return the records' groups, so that those about one file share one, also with own keys.

    A record that says its group stays in it. Another joins the first record whose first file is
    the same: records that come later never move those before them.
    """
    groups: dict[Any, str] = {}
    shared = []
    for record in records:
        file, group = first_file(record), record.group
        if file is not None:
            if group in ("", record.key):
                group = groups.get(file, group)
            groups.setdefault(file, group or record.key)
        shared.append(group)
    return shared


def first_file(record: Record) -> Any:
    """Return where the first signal of a record lies, of several files the first; None of text."""
    if not record.media:
        return None
    source = record.media[0].source
    return next(iter(source.values())) if isinstance(source, Mapping) else source
