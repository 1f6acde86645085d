"""Objectives in the LLM's words: the next one, and which ones.

Both are sums over the batch's labels, with the number of them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from polysense.model.polysense_model import PolysenseModel
from polysense.model.splice import splice
from polysense.types import Batch


def next_token(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the labelled tokens, in nats: (sum, number of labels)."""
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    with model.seen(**batch) as prompt:
        return model.label_loss(prompt, mask, batch["labels"], positions)


def words(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Bag of words: each embedding points at its row's labels' word vectors, rare ones most.

    Needs no pass through the LLM, only its word vectors, so it costs a hundredth of `next_token`:
    a warm start that puts embeddings where the LLM's words are. In nats: (sum, labels).
    """
    vectors, here = model.word_vectors, model.held(batch["input_ids"])
    blank = vectors.new_zeros((*here.shape, vectors.shape[1]), dtype=torch.float32)
    placed = splice(blank, batch["input_ids"], model.config.placeholders, model.perceive(**batch))
    # One place a row, drawn anew each step: every embedding learns alone, at the price of one.
    place = (torch.rand(here.shape, device=here.device) * here).argmax(dim=1)
    drawn = placed[torch.arange(len(placed)), place]
    # Scaled so that an embedding equal to one word's vector gives that word a logit of about 20.
    scale = 20.0 / vectors.detach().float().square().sum(dim=1).mean()
    logits = (drawn.to(vectors.dtype) @ vectors.T).float() * scale
    rows, columns = (batch["labels"] >= 0).nonzero(as_tuple=True)
    chosen = batch["labels"][rows, columns]
    weights = rarity(rows, chosen, len(logits))
    losses = -functional.log_softmax(logits, dim=-1)[rows, chosen]
    return (losses * weights).sum() * len(rows) / weights.sum(), torch.tensor(len(rows))


def rarity(rows: torch.Tensor, tokens: torch.Tensor, count: int) -> torch.Tensor:
    """Return log(count / rows that hold the token) for each: "A" and "." weigh next to nothing."""
    pairs = torch.unique(torch.stack([rows, tokens]), dim=1)[1]
    _, inverse, frequency = torch.cat([pairs, tokens]).unique(
        return_inverse=True, return_counts=True
    )
    held = torch.zeros_like(frequency).index_add_(0, inverse[: len(pairs)], torch.ones_like(pairs))
    return torch.log((count + 1) / held[inverse[len(pairs) :]])
