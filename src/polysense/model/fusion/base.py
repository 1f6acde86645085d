"""Where the LLM meets the signals: among its words, or inside its layers.

    input            embeddings take places in the text (LLaVA, BLIP-2, OneLLM); no weights
    visual_expert    as input, and the layers have weights of their own for those places (CogVLM)
    cross_attention  gated blocks between the layers look at the embeddings (Flamingo)
    llama_adapter    attention in the layers looks at them besides the text (LLaMA-Adapter)

For the last two a signal has one place in the text, which holds a trainable embedding of its
modality. All but "input" begin as what they are put into: before the first step the logits are the
same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from polysense.model.fusion.merge_embeddings import merge_embeddings

FUSION_KINDS = ("input", "cross_attention", "llama_adapter", "visual_expert")
# Kinds whose signals hold one placeholder each, and whose embeddings do not stand in the text.
PLACEHOLDER_KINDS = frozenset({"cross_attention", "llama_adapter"})
Embeddings = Mapping[str, torch.Tensor]  # {modality: [N, M, D]}, in reading order


class Fusion(nn.Module, ABC):
    """How an LLM comes to see embeddings.

    `in_sequence`: they stand among the words, M places each.
    """

    in_sequence: bool = True

    def num_placeholders(self, embeddings: int) -> int:
        """Return how many places in the text a signal of so many embeddings takes."""
        return embeddings if self.in_sequence else 1

    @abstractmethod
    def conditioned_on(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Embeddings,
        position_ids: torch.Tensor | None = None,
    ) -> AbstractContextManager[torch.Tensor]:
        """Give the LLM's input for words [B, T, D]; inside the context, the LLM sees the signals.

        Where samples share rows, position_ids [B, T] restart at 0 with each. Raises PolysenseError
        where places and signals differ in number.
        """


class InputFusion(Fusion):
    """Embeddings in the places of the text held for them: merge_embeddings.py, and nothing else."""

    @contextmanager
    def conditioned_on(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Embeddings,
        position_ids: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield the words with the embeddings in place."""
        yield merge_embeddings(words, input_ids, placeholders, embeddings)
