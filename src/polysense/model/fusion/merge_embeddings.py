"""Fusion at the input: embeddings of signals take the places held for them in the text.

In: word embeddings, ids with placeholders, embeddings per modality. Out: one sequence of
embeddings. A mismatch of counts is an error that names the sample, the modality and both numbers;
nothing is cut, moved or filled in silently.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from polysense.errors import PolysenseError


def merge_embeddings(
    words: torch.Tensor,
    input_ids: torch.Tensor,
    placeholders: Mapping[str, int],
    embeddings: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """Put `embeddings` {modality: [N, M, D]} at the placeholders of `input_ids` [B, T].

    words: [B, T, D]; signals are taken in reading order, row by row. Returns [B, T, D] in the
    dtype of `words`. Raises PolysenseError where places and embeddings do not match in number.
    """
    for modality, token in placeholders.items():
        here = input_ids == token
        given = embeddings.get(modality)
        check_places(here, modality, given)
        if given is not None:
            source = given.reshape(-1, given.shape[-1]).to(words.dtype)
            words = words.masked_scatter(here.unsqueeze(-1), source)
    unplaced = set(embeddings) - set(placeholders)
    if unplaced:
        raise PolysenseError(
            f"embeddings of {', '.join(sorted(unplaced))} were given, but the model has no such "
            f"modality; it has {', '.join(placeholders)}"
        )
    return words


def placeholder_mask(input_ids: torch.Tensor, placeholders: Mapping[str, int]) -> torch.Tensor:
    """Return bool [B, T]: where the ids hold a place for an embedding of any modality."""
    held = torch.zeros_like(input_ids, dtype=torch.bool)
    for token in placeholders.values():
        held |= input_ids == token
    return held


def check_places(here: torch.Tensor, modality: str, given: torch.Tensor | None) -> None:
    """Check that the places `here` [B, T] hold exactly the signals `given` [N, M, D]."""
    places = here.sum(dim=1).tolist()
    signals, width = (0, 1) if given is None else (given.shape[0], given.shape[1])
    for row, count in enumerate(places):
        if count % width:
            raise PolysenseError(
                f"sample {row} of the batch has {count} places for {modality}, which is no "
                f"multiple of the {width} embeddings one signal gives"
            )
    if sum(places) != signals * width:
        row = next((row for row, count in enumerate(places) if count), 0)
        raise PolysenseError(
            f"the batch holds {sum(places)} places for {modality} (first in sample {row}) but "
            f"{signals * width} embeddings were given ({signals} signals of {width})"
        )
