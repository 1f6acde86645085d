"""Signals that are the same under other names: their decoded content is equal.

A file saved again, copied or renamed looks new to a split by names; decoded, it is the same. Equal
means equal to the bit. What was cropped or compressed again differs, and is not found here
(near.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from polysense.data.duplicates.groups import groups_joined
from polysense.data.records import Record
from polysense.errors import PolysenseError
from polysense.modalities import Modality
from polysense.modalities.read_signal import read_signal
from polysense.types import Media


def grouped_by_content(
    records: Sequence[Record],
    modalities: Mapping[str, Modality],
    advance: Callable[[], object] = lambda: None,
) -> list[Record]:
    """Return records with duplicates in one group, so that a split keeps them on one side.

    Records that share a signal, or a group, are of one group, and so is who shares with any of
    them. Every file is decoded once; `advance` is called after each record.
    """
    contents: dict[Media, str] = {}
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for index, record in enumerate(records):
        for media in record.media:
            if media not in contents:
                contents[media] = content_of(media, modalities)
        shared = {("content", contents[media]) for media in record.media if contents[media]}
        for mark in shared | {("group", record.group or record.key)}:
            pairs.append((first.setdefault(mark, index), index))
        advance()
    owners = [records[owner] for owner in groups_joined(pairs, len(records))]
    return [
        record if owner is record else replace(record, group=owner.group or owner.key)
        for record, owner in zip(records, owners, strict=True)
    ]


def content_of(media: Media, modalities: Mapping[str, Modality]) -> str:
    """Return the hash of a decoded signal, its modality and its shape among it; "" of a bad one."""
    try:
        signal = read_signal(modalities[media.modality], media.source)
    except PolysenseError:
        return ""  # training names what it cannot read
    digest = hashlib.sha256(f"{media.modality} {tuple(signal.shape)} {signal.dtype}".encode())
    digest.update(signal.contiguous().numpy().tobytes())
    return digest.hexdigest()
