"""An LLM's logits at some columns only: of prompts, of rows behind them, and of a prefix tree."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch


def logits_at(llm: Any, columns: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """Return an LLM's logits [B, len(columns), V] at some columns; others are not made, if it can.

    An LLM that has no `logits_to_keep`, or has it and takes no notice, makes those of all.
    """
    if "logits_to_keep" not in inspect.signature(llm.forward).parameters:
        return llm(**inputs).logits[:, columns]
    logits = llm(**inputs, logits_to_keep=columns).logits
    length = inputs["inputs_embeds"].shape[1]
    made_all = logits.shape[1] == length and len(columns) < length
    return logits[:, columns] if made_all else logits


def row_logits(llm: Any, prompts: torch.Tensor, rows: list[list[int]]) -> torch.Tensor:
    """Run each of C equally long rows of tokens behind each of prompts [N, T, D].

    Returns logits [N * C, 1 + n, V], a prompt's rows side by side: after the prompt, and after each
    token. There is no padding and no mask, so that it is right for every LLM.
    """
    start, device = prompts.shape[1], prompts.device
    ids = torch.tensor(rows, dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(ids).to(prompts.dtype).repeat(len(prompts), 1, 1)
    inputs = torch.cat([prompts.repeat_interleave(len(rows), dim=0), words], dim=1)
    columns = torch.arange(start - 1, inputs.shape[1], device=device)
    return logits_at(llm, columns, inputs_embeds=inputs, use_cache=False)


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
