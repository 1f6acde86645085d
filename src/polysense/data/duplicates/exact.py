"""Media that are the same under other names: records whose decoded signals are equal.

A file saved again, copied or renamed looks new to a split by names; decoded, it is the same. Equal
means equal to the bit. What was cropped or compressed again differs, and is not found here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polysense.data.records import Record, Split
from polysense.errors import PolysenseError
from polysense.modalities import Modality
from polysense.modalities.read_signal import read_signal
from polysense.types import Media


def content_of(media: Media, modalities: Mapping[str, Modality]) -> str:
    """Return the hash of a decoded signal, its modality and its shape among it; "" of a bad one."""
    try:
        signal = read_signal(modalities[media.modality], media.source)
    except PolysenseError:
        return ""  # training names what it cannot read
    digest = hashlib.sha256(f"{media.modality} {tuple(signal.shape)} {signal.dtype}".encode())
    digest.update(signal.contiguous().numpy().tobytes())
    return digest.hexdigest()


def duplicates(records: Sequence[Record], modalities: Mapping[str, Modality]) -> list[list[Record]]:
    """Return the groups of records, of two or more, that share a signal of equal content.

    Records that share one with different others are all of one group.
    """
    parents = list(range(len(records)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    owners: dict[Any, int] = {}
    contents: dict[Media, str] = {}
    for index, record in enumerate(records):
        for media in record.media:
            if media not in contents:
                contents[media] = content_of(media, modalities)
            if contents[media]:
                owner = root(owners.setdefault(contents[media], index))
                first, second = sorted((owner, root(index)))
                parents[second] = first
    groups: dict[int, list[Record]] = {}
    for index, record in enumerate(records):
        groups.setdefault(root(index), []).append(record)
    return [group for group in groups.values() if len(group) > 1]


def grouped_by_content(
    records: Sequence[Record], modalities: Mapping[str, Modality]
) -> list[Record]:
    """Return records with duplicates in one group, so that a split keeps them on one side."""
    group_of = {
        record.key: same[0].group or same[0].key
        for same in duplicates(records, modalities)
        for record in same
    }
    return [replace(record, group=group_of.get(record.key, record.group)) for record in records]


def on_both_sides(split: Split, modalities: Mapping[str, Modality]) -> list[list[Record]]:
    """Return the groups of duplicates that are trained on and held out at once."""
    train = {record.key for record in split.train}
    found = duplicates([*split.train, *split.held_out], modalities)
    return [group for group in found if 0 < sum(r.key in train for r in group) < len(group)]
