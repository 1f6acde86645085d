"""Bag of words: a warm start of the connector that needs no pass through the LLM."""

from __future__ import annotations

import torch
from torch.nn import functional

from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.model.fusion.merge_embeddings import merge_embeddings
from polysense.model.llm.input_embeddings import embedding_factor
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch


def bag_of_words(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Bag of words: each embedding points at its row's labels' word vectors, rare ones most.

    Needs no pass through the LLM, only its word vectors, so it costs a hundredth of `next_token`:
    a warm start that puts embeddings where the LLM's words are. In nats: (sum, labels).
    """
    vectors, here = model.input_embeddings, model.placeholder_mask(batch["input_ids"])
    blank = vectors.new_zeros((*here.shape, vectors.shape[1]), dtype=torch.float32)
    placed = merge_embeddings(
        blank, batch["input_ids"], model.config.placeholders, model.encode_signals(**batch)
    )
    # One place a row, drawn anew each step: each embedding is trained alone, at the price of one.
    place = (torch.rand(here.shape, device=here.device) * here).argmax(dim=1)
    drawn = placed[torch.arange(len(placed)), place]
    drawn = drawn / embedding_factor(model.llm)  # as large as the word vectors
    logits = (drawn.to(vectors.dtype) @ vectors.T).float() * logit_scale_of_words(vectors)
    rows, columns = (batch["labels"] != IGNORED).nonzero(as_tuple=True)
    chosen = batch["labels"][rows, columns]
    weights = idf_weights(batch["labels"])[rows, columns]
    losses = -functional.log_softmax(logits, dim=-1)[rows, chosen]
    return (losses * weights).sum() * len(rows) / weights.sum(), torch.tensor(len(rows))


def logit_scale_of_words(vectors: torch.Tensor) -> torch.Tensor:
    """Return what makes an embedding equal to one word's vector give it a logit of about 20.

    Every 16th word tells it: all of them would take a sixth of a step.
    """
    return 20.0 / vectors[::16].detach().float().square().sum(dim=1).mean()


def idf_weights(labels: torch.Tensor) -> torch.Tensor:
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
