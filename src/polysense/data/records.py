"""Records: what a data set holds, and which of them are held out.

The split is a function of a record's key, or of the group it is in, and of nothing else: it stays
the same in every run and whatever else is added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from polysense.errors import PolysenseError
from polysense.types import Media, Message


@dataclass(frozen=True)
class Record:
    """One sample of a data set: its signals, in reading order, and what is said of them.

    caption   what the signals are; tasks.py asks for it. Or else
    messages  the sample's own turns, signals in their places. A document is one turn of the
              assistant's: nobody asks, and all its text is learnt
    group     records of one group are on one side of the split
    source    where it is from, as "real" or "simulated"
    """

    key: str
    media: tuple[Media, ...]
    caption: str = ""
    category: str = ""
    split: str = ""
    source: str = ""
    group: str = ""
    messages: tuple[Message, ...] = ()

    @property
    def senses(self) -> str:
        """The senses of its signals, as "audio+video"."""
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
        held = record.split == "held_out" or (
            record.split != "train" and is_held_out(record.group or record.key, share)
        )
        (held_out if held else train).append(record)
    if not train or not held_out:
        raise PolysenseError(
            f"{len(records)} records split into {len(train)} to train on and {len(held_out)} held "
            "out; both are needed: give more records or another data.held_out"
        )
    return Split(train, held_out)


def with_unique_keys(records: Sequence[Record], where: str) -> list[Record]:
    """Check that no two records share a key: one could be trained on and held out at once.

    Many conversations may be about one file. They are called after it ("cat.png", "cat.png (2)"),
    and are of its group: all of them are held out, or none.
    """

    def may_be_counted(record: Record) -> bool:
        return bool(record.messages) and record.group == record.key

    taken: set[str] = set()
    for record in records:
        if not may_be_counted(record):
            if record.key in taken:
                raise PolysenseError(
                    f"{where}: two lines have the key {record.key!r}; keys are unique"
                )
            taken.add(record.key)
    counts: Counter[str] = Counter()
    unique = []
    for record in records:
        key = record.key
        if may_be_counted(record):
            while key in taken:
                counts[record.key] += 1
                key = f"{record.key} ({counts[record.key] + 1})"
            taken.add(key)
        unique.append(replace(record, key=key))
    return unique
