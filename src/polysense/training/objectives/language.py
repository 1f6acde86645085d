"""Objectives in the LLM's words: the next one, and which ones.

Both are sums over the batch's labels, with the number of them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from polysense.data.chat import IGNORED
from polysense.model.llm import embedding_factor
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
    drawn = drawn / embedding_factor(model.llm)  # as large as the word vectors
    logits = (drawn.to(vectors.dtype) @ vectors.T).float() * word_scale(vectors)
    rows, columns = (batch["labels"] != IGNORED).nonzero(as_tuple=True)
    chosen = batch["labels"][rows, columns]
    weights = rarity(batch["labels"])[rows, columns]
    losses = -functional.log_softmax(logits, dim=-1)[rows, chosen]
    return (losses * weights).sum() * len(rows) / weights.sum(), torch.tensor(len(rows))


def word_scale(vectors: torch.Tensor) -> torch.Tensor:
    """Return what makes an embedding equal to one word's vector give it a logit of about 20.

    Every 16th word tells it: all of them would take a sixth of a step.
    """
    return 20.0 / vectors[::16].detach().float().square().sum(dim=1).mean()


def rarity(labels: torch.Tensor) -> torch.Tensor:
    """Return log((rows + 1) / rows that hold the token) for labels [B, T], 0 where there is none.

    "A" and "." weigh next to nothing then.
    """
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    tokens, inverse = labels[rows, columns].unique(return_inverse=True)
    holds = torch.zeros(len(labels), len(tokens), device=labels.device)
    holds[rows, inverse] = 1
    found = torch.zeros_like(labels, dtype=torch.float32)
    found[rows, columns] = torch.log((len(labels) + 1) / holds.sum(dim=0))[inverse]
    return found
