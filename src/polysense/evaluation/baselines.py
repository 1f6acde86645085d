"""The nearest-neighbour baseline: what one would say without a language model.

It answers with the caption of the most similar training sample of the same modality, by what the
cache keeps: the frozen encoder's features, or signals where the modality's tokenizer learns. A
sample that is itself trained on, under another name, measures memory: it is left out of the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from polysense.data.datasets import Record
from polysense.data.loading.feature_cache import FeatureCache
from polysense.modalities import Modality
from polysense.modalities.read_signal import read_signal

ALMOST = 1 - 1e-4  # cosine from which two signals are compared themselves


@dataclass(frozen=True)
class Compared:
    """Held-out records beside their nearest training records.

    records      those that are scored
    neighbours   the caption of the nearest training record of each; [] where there is none
    overlapping  "a.wav is b.wav" of each that is left out: its signals are trained on
    """

    records: list[Record]
    neighbours: list[str]
    overlapping: tuple[str, ...] = ()


def compared(cache: FeatureCache, train: Sequence[Record], records: Sequence[Record]) -> Compared:
    """Find each record's nearest of `train`, and leave out records whose signals are trained on."""
    found = nearest(cache, train, records)
    if not found:
        return Compared(list(records), [])
    pairs = list(zip(records, found, strict=True))
    apart = [
        (record, near)
        for record, (near, cosine) in pairs
        if cosine < ALMOST or not are_equal(cache.model.modalities, record, near)
    ]
    scored = {record.key for record, _ in apart}
    return Compared(
        [record for record, _ in apart],
        [near.caption for _, near in apart],
        tuple(f"{own.key} is {near.key}" for own, (near, _) in pairs if own.key not in scored),
    )


def nearest(
    cache: FeatureCache, train: Sequence[Record], records: Sequence[Record]
) -> list[tuple[Record, float]]:
    """Return for each record the nearest of `train` and their cosine; [] where there is none.

    All records are of one modality, or one combination; the cosine is the mean over their signals.
    Training records are met one by one: memory holds the vectors of `records` only.
    """
    if not train:
        return []
    own = torch.stack([vector(cache, record) for record in records])
    best, found = torch.full((len(records),), -torch.inf), [train[0]] * len(records)
    for record in train:
        near = own @ vector(cache, record) / len(record.media)
        for index in (near > best).nonzero().flatten().tolist():
            found[index] = record
        best = torch.maximum(best, near)
    return list(zip(found, best.tolist(), strict=True))


def are_equal(modalities: Mapping[str, Modality], one: Record, other: Record) -> bool:
    """Whether two records hold equal signals, in any order: the same file, or its copy."""

    def signals(record: Record) -> list[tuple[str, bytes]]:
        read = [(m.modality, read_signal(modalities[m.modality], m.source)) for m in record.media]
        return sorted((name, signal.contiguous().numpy().tobytes()) for name, signal in read)

    return signals(one) == signals(other)


def vector(cache: FeatureCache, record: Record) -> torch.Tensor:
    """Return a record's signals as one vector: each flattened to unit length, then joined, so that
    the product of two is the sum of their signals' cosines."""
    parts = [cache.view(media, 0).flatten() for media in record.media]
    return torch.cat([functional.normalize(part, dim=0) for part in parts])
