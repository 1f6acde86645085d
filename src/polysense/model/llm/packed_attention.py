"""Packing: samples that share a row, kept apart by positions or by a block-diagonal mask."""

from __future__ import annotations

from typing import Any, Literal

import torch

from polysense.errors import PolysenseError

# "positions": restarted position ids are enough, the mask follows from them. "mask": the LLM needs
# a block-diagonal mask as well.
PackedForm = Literal["positions", "mask"]


def packed_inputs(llm: Any, position_ids: torch.Tensor, form: PackedForm | None) -> dict[str, Any]:
    """Return the arguments that keep samples apart whose positions [B, T] restart in a row at 0.

    Raises PolysenseError where `form` is None: this LLM cannot keep them apart.
    """
    if form is None:
        raise PolysenseError(
            f"{type(llm).__name__} cannot keep samples apart that share a row: set packing=false "
            "in the stage"
        )
    inputs: dict[str, Any] = {"position_ids": position_ids}
    if form == "mask":
        inputs["attention_mask"] = block_mask(position_ids, llm.dtype)
    return inputs


def document_index(position_ids: torch.Tensor) -> torch.Tensor:
    """positions [B, T] that restart at 0 -> the number of each position's sample in its row."""
    return (position_ids == 0).cumsum(dim=1) - 1


def block_mask(position_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask [B, 1, T, T] to add to attention: 0 for one's own sample so far."""
    document = document_index(position_ids)
    own = (document[:, :, None] == document[:, None, :]).tril()
    mask = torch.zeros(own.shape, dtype=dtype, device=own.device)
    return mask.masked_fill_(~own, torch.finfo(dtype).min)[:, None]
