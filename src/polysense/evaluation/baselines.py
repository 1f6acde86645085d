"""The nearest-neighbour baseline: what one would say without a language model.

It answers with the caption of the most similar training sample of the same sense, by what the
cache keeps: the frozen encoder's features, or signals where the sense's tokenizer learns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from polysense.data.datasets import Record
from polysense.data.loading.feature_cache import FeatureCache


def nearest_captions(
    cache: FeatureCache, train: Sequence[Record], records: Sequence[Record]
) -> list[str]:
    """Return for each record the caption of the nearest of `train`; [] where there is none.

    All records are of one sense, or one combination. Training records are met one by one: memory
    holds the vectors of `records` only.
    """
    if not train:
        return []
    own = torch.stack([vector(cache, record) for record in records])
    best, found = torch.full((len(records),), -torch.inf), [""] * len(records)
    for record in train:
        near = own @ vector(cache, record)
        for index in (near > best).nonzero().flatten().tolist():
            found[index] = record.caption
        best = torch.maximum(best, near)
    return found


def vector(cache: FeatureCache, record: Record) -> torch.Tensor:
    """Return a record's signals as one vector: each flattened to unit length, then joined, so that
    the product of two is the sum of their senses' cosines."""
    parts = [cache.view(media, 0).flatten() for media in record.media]
    return torch.cat([functional.normalize(part, dim=0) for part in parts])
