"""Next-token loss: cross-entropy at the labels only."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from polysense.model.llm.capabilities import LLMCapabilities, language_head
from polysense.model.llm.linear_cross_entropy import linear_loss
from polysense.model.llm.packed_attention import packed_inputs
from polysense.model.llm.selected_logits import logits_at
from polysense.types import IGNORED


def next_token_loss(
    llm: Any,
    capabilities: LLMCapabilities,
    inputs_embeds: torch.Tensor,
    labels: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the next-token loss in nats: (sum over labels, number of labels).

    Rows of inputs_embeds [B, T, D] hold one sample each, and `attention_mask` [B, T] marks their
    padding; or several, and `position_ids` [B, T] restart at 0 with each: they do not see one
    another then. Labels [B, T] are the rows' token ids, or IGNORED.
    """
    targets = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)  # what comes next  [B, T]
    if position_ids is None:
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
    else:
        inputs = packed_inputs(llm, position_ids, capabilities.packed_form)
    total = summed_loss(llm, capabilities, inputs_embeds, targets, inputs)
    return total, (targets != IGNORED).sum()


def summed_loss(
    llm: Any,
    capabilities: LLMCapabilities,
    inputs_embeds: torch.Tensor,
    targets: torch.Tensor,
    inputs: dict[str, Any],
) -> torch.Tensor:
    """Return the summed cross-entropy, in nats, at the targets [B, T] that are not IGNORED.

    `inputs` are the LLM's other arguments. Hidden states are gathered at the targets before the
    head sees them; where the head's transform is unknown, the LLM itself makes the logits of every
    column that some row has a target in.
    """
    has_target = targets != IGNORED  # [B, T]
    if capabilities.logit_transform is not None:
        head = language_head(llm, capabilities.logit_transform)
        states = llm.get_decoder()(inputs_embeds=inputs_embeds, use_cache=False, **inputs)
        hidden = states.last_hidden_state[has_target]  # [K, D]
        return linear_loss(head, hidden, targets[has_target])
    columns = has_target.any(dim=0).nonzero().squeeze(1)
    logits = logits_at(llm, columns, inputs_embeds=inputs_embeds, use_cache=False, **inputs)
    return functional.cross_entropy(
        logits.float().flatten(0, 1),
        targets[:, columns].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
