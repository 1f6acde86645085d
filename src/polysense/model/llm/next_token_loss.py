"""Next-token loss: cross-entropy at the labels only."""

from __future__ import annotations

import inspect
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional

from polysense.model.llm.linear_cross_entropy import LanguageHead, linear_loss
from polysense.model.llm.probe import REFUSALS, alike, once, some_embeddings, untouched

_after_head: WeakKeyDictionary[nn.Module, dict[str, Any] | None] = WeakKeyDictionary()


def language_head(llm: Any) -> LanguageHead | None:
    """Return the head that turns the decoder's last hidden state into the LLM's logits, if known.

    None where the LLM does something to its logits that LanguageHead does not describe.
    """
    after = once(_after_head, llm, _find_after_head)
    return None if after is None else LanguageHead(llm.get_output_embeddings(), **after)


def next_token_loss(
    llm: Any, embeddings: torch.Tensor, targets: torch.Tensor, ignored: int, inputs: dict[str, Any]
) -> torch.Tensor:
    """Return the summed cross-entropy, in nats, at the targets [B, T] that are not `ignored`.

    embeddings: [B, T, D]; `inputs` are the LLM's other arguments. Hidden states are gathered at the
    labels before the head sees them; where the head is unknown, the LLM itself makes the logits of
    every column that some row has a label in.
    """
    here = targets != ignored
    head = language_head(llm)
    if head is not None:
        states = llm.get_decoder()(inputs_embeds=embeddings, use_cache=False, **inputs)
        return linear_loss(head, states.last_hidden_state[here], targets[here])
    columns = here.any(dim=0).nonzero().squeeze(1)
    logits = logits_at(llm, columns, inputs_embeds=embeddings, use_cache=False, **inputs)
    wanted = targets[:, columns].flatten()
    return functional.cross_entropy(
        logits.float().flatten(0, 1), wanted, ignore_index=ignored, reduction="sum"
    )


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


def _find_after_head(llm: Any) -> dict[str, Any] | None:
    """Return LanguageHead's options from the LLM's config, if they give the LLM's logits."""
    config = llm.config.get_text_config()
    linear, decoder = llm.get_output_embeddings(), llm.get_decoder()
    if linear is None or decoder is llm or not hasattr(linear, "weight"):
        return None
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    after = {"scale": scale, "softcap": getattr(config, "final_logit_softcapping", None)}
    with untouched(llm):
        embeddings = some_embeddings(llm, 4)[None]
        given = llm(inputs_embeds=embeddings, use_cache=False).logits
        try:
            states = decoder(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        except REFUSALS:
            return None  # its `get_decoder` gives something else (ModernBERT's a linear layer)
        return after if alike(LanguageHead(linear, **after)(states), given, llm.dtype) else None
