"""The Q-Former's text side in BLIP-2's first stage (arXiv 2301.12597, section 3.1).

Queries and captions share the Q-Former's self-attention under three masks
(qformer.attention_mode_mask). A head for each of its objectives stands here; the losses are in
training/objectives/qformer_pretraining.py.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.model.connectors.base import OutputProjection
from polysense.model.connectors.qformer import EPSILON, QFormer, QFormerBranch

TEMPERATURE = 0.07  # at the start; it is learnt
TEMPERATURES = (0.001, 0.5)  # BLIP's bounds: learnt below 0, similarity would turn around


class LanguageModelHead(nn.Module):
    """BERT's head: a layer, then the similarity to each of the Q-Former's own word vectors."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """states [..., W], word vectors [V, W] -> logits [..., V]."""
        states = self.norm(functional.gelu(self.inner(states)))
        return functional.linear(states, words, self.bias)


class QFormerPretrainingBranch(QFormerBranch):
    """A Q-Former that learns from signals and their captions; for the LLM, a QFormerBranch.

    `space` is the width in which queries and captions are compared, 256 in BLIP-2. Captions are
    text_ids [N, L] of the Q-Former's own tokenizer (data/caption_tokenizer.py) with text_mask
    [N, L].
    """

    def __init__(
        self,
        feature_norm: nn.Module,
        output_projection: OutputProjection,
        former: QFormer,
        contrastive_width: int,
    ) -> None:
        super().__init__(feature_norm, output_projection, former)
        if former.words is None:
            raise PolysenseError(
                "connector.contrastive_width: a Q-Former without text; set vocabulary too"
            )
        vocabulary, width = former.words.weight.shape
        self.query_projection = nn.Linear(width, contrastive_width)
        self.text_projection = nn.Linear(width, contrastive_width)
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))
        self.itm_head = nn.Linear(width, 2)  # no, yes
        self.lm_head = LanguageModelHead(width, vocabulary)

    def signal_points(self, features: torch.Tensor) -> torch.Tensor:
        """features [N, F, E] -> a point on the unit sphere for each query, [N, Q, space]."""
        states = self.former(self.feature_norm(features))
        return functional.normalize(self.query_projection(states).float(), dim=-1)

    def text_points(self, text_ids: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """Captions [N, L] -> the points of their first words, [CLS], on the sphere [N, space]."""
        states = self.former(None, text_ids, text_mask)[:, 0]
        return functional.normalize(self.text_projection(states).float(), dim=-1)

    def itm_logits(
        self, features: torch.Tensor, text_ids: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Say whether each caption [N, L] is of its signal [N, F, E]: logits [N, 2], no and yes.

        Every query sees the caption and judges; their mean decides.
        """
        states = self.former(self.feature_norm(features), text_ids, text_mask, "joint")
        return self.itm_head(states[:, : len(self.former.queries)]).mean(dim=1)

    def itg_logits(
        self, features: torch.Tensor, text_ids: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Guess the word after each of a caption's [N, L], which begins with [DEC]: [N, L, V].

        All that a word knows of the signal comes through the queries.
        """
        states = self.former(self.feature_norm(features), text_ids, text_mask, "causal")
        assert self.former.words is not None
        return self.lm_head(states[:, len(self.former.queries) :], self.former.words.weight)

    def scaled_logits(self, similarity: torch.Tensor) -> torch.Tensor:
        """Likeness -> logits, by the learnt temperature."""
        return similarity / self.temperature.clamp(*TEMPERATURES)


def similarity(signals: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Points [N, Q, S] and [M, S] -> cosines [N, M]: each text with the query most like it."""
    return torch.einsum("nqs,ms->nmq", signals, texts).amax(dim=-1)
