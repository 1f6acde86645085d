"""Packing: samples that share a row, kept apart by positions or by a block-diagonal mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import nn

from polysense.errors import PolysenseError
from polysense.model.llm.next_token_loss import logits_at
from polysense.model.llm.probe import REFUSALS, alike, once, some_embeddings, untouched

PackedForm = Literal["positions", "mask"]
_forms: WeakKeyDictionary[nn.Module, PackedForm | None] = WeakKeyDictionary()


def packed_form(llm: Any) -> PackedForm | None:
    """Return how an LLM is told where samples that share a row begin, or None: it cannot be.

    "positions": restarted position ids are enough, the mask follows from them. "mask": it needs the
    mask too. None: recurrent LLMs (Mamba) and those whose positions come from the mask (ALiBi).
    """
    return once(_forms, llm, _find_form)


def packed_inputs(
    llm: Any, position_ids: torch.Tensor, form: PackedForm | None = None
) -> dict[str, Any]:
    """Return the arguments that keep samples apart whose positions [B, T] restart in a row at 0.

    Raises PolysenseError where this LLM cannot keep them apart.
    """
    form = form or packed_form(llm)
    if form is None:
        raise PolysenseError(
            f"{type(llm).__name__} cannot keep samples apart that share a row: set packing=false "
            "in the stage"
        )
    inputs: dict[str, Any] = {"position_ids": position_ids}
    if form == "mask":
        inputs["attention_mask"] = block_mask(position_ids, llm.dtype)
    return inputs


def branch_logits(
    llm: Any, prompts: torch.Tensor, tokens: Sequence[int], seen: torch.Tensor
) -> torch.Tensor:
    """Run a tree of tokens behind prompts [N, T, D] in one pass; return logits [N, 1 + n, V].

    seen: bool [n, n], true where a token sees another: itself and what leads to it. The first
    logits are those after the prompt, the others those after each token.
    """
    (count, start, _), device = prompts.shape, prompts.device
    ids = torch.tensor([tokens], dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(ids).to(prompts.dtype).expand(count, -1, -1)
    total = start + len(tokens)
    all_seen = torch.ones(total, total, dtype=torch.bool).tril()
    all_seen[start:, start:] = seen
    mask = torch.zeros(total, total, dtype=prompts.dtype)
    mask.masked_fill_(~all_seen, torch.finfo(prompts.dtype).min)
    places = torch.cat([torch.arange(start), start - 1 + seen.sum(dim=1)])
    return logits_at(
        llm,
        torch.arange(start - 1, total, device=device),
        inputs_embeds=torch.cat([prompts, words], dim=1),
        attention_mask=mask.expand(count, 1, -1, -1).to(device),
        position_ids=places.expand(count, -1).to(device),
        use_cache=False,
    )


def document_index(position_ids: torch.Tensor) -> torch.Tensor:
    """positions [B, T] that restart at 0 -> the number of each position's sample in its row."""
    return (position_ids == 0).cumsum(dim=1) - 1


def block_mask(position_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask [B, 1, T, T] to add to attention: 0 for one's own sample so far."""
    document = document_index(position_ids)
    own = (document[:, :, None] == document[:, None, :]).tril()
    mask = torch.zeros(own.shape, dtype=dtype, device=own.device)
    return mask.masked_fill_(~own, torch.finfo(dtype).min)[:, None]


def _find_form(llm: Any) -> PackedForm | None:
    """Compare two rows of samples with the same samples alone, first by positions, then by mask."""
    rows = [[5, 3, 1], [2, 7]]
    forms: list[PackedForm] = ["positions"]
    # A window of attention is in the mask that the LLM makes itself; ours would replace it.
    if getattr(llm.config.get_text_config(), "sliding_window", None) is None:
        forms.append("mask")
    with untouched(llm):
        words = some_embeddings(llm, 9)
        packed = torch.stack([torch.cat([words[:length] for length in row]) for row in rows])
        positions = torch.tensor([[p for n in row for p in range(n)] for row in rows])
        alone = llm(inputs_embeds=words[None], use_cache=False).logits[0]
        wanted = torch.stack([torch.cat([alone[:length] for length in row]) for row in rows])
        for form in forms:
            inputs = packed_inputs(llm, positions.to(packed.device), form)
            try:
                found = llm(inputs_embeds=packed, use_cache=False, **inputs).logits
            except REFUSALS:
                continue
            if alike(found, wanted, llm.dtype):
                return form
    return None
