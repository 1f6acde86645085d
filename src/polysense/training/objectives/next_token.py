"""Next-token prediction: the language-model loss of the labelled tokens.

A sum over the batch's labels, with the number of them.
"""

from __future__ import annotations

import torch

from polysense.model.llm.next_token_loss import next_token_loss
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch


def next_token(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the labelled tokens, in nats: (sum, number of labels)."""
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    with model.multimodal_inputs(**batch) as inputs_embeds:  # [B, T, D]
        return next_token_loss(
            model.llm, model.capabilities, inputs_embeds, batch["labels"], mask, positions
        )
