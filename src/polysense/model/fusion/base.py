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
from dataclasses import dataclass

import torch
from torch import nn

from polysense.model.fusion.merge_embeddings import merge_embeddings

FUSION_KINDS = ("input", "cross_attention", "llama_adapter", "visual_expert")
# Kinds whose signals hold one placeholder each, and whose embeddings do not stand in the text.
PLACEHOLDER_KINDS = frozenset({"cross_attention", "llama_adapter"})
Embeddings = Mapping[str, torch.Tensor]  # {modality: [N, M, D]}, in reading order


@dataclass(frozen=True)
class Prompt:
    """What the LLM is to see.

    words         embeddings [B, T, D] of the text, anything where a signal has its place
    input_ids     ids [B, T], a modality's placeholder at each of its places
    placeholders  {modality: its id}
    embeddings    {modality: [N, M, D]} of the signals
    position_ids  [B, T], restarting at 0 with each sample, where samples share rows
    """

    words: torch.Tensor
    input_ids: torch.Tensor
    placeholders: Mapping[str, int]
    embeddings: Embeddings
    position_ids: torch.Tensor | None = None


def merged(prompt: Prompt) -> torch.Tensor:
    """Return the words [B, T, D] with the embeddings in their places."""
    return merge_embeddings(prompt.words, prompt.input_ids, prompt.placeholders, prompt.embeddings)


class Fusion(nn.Module, ABC):
    """How an LLM comes to see embeddings.

    `in_sequence`: they stand among the words, M places each.
    """

    in_sequence: bool = True

    def num_placeholders(self, embeddings: int) -> int:
        """Return how many places in the text a signal of so many embeddings takes."""
        return embeddings if self.in_sequence else 1

    @abstractmethod
    def conditioned_on(self, prompt: Prompt) -> AbstractContextManager[torch.Tensor]:
        """Give the LLM's input [B, T, D]; inside the context, the LLM sees the prompt's signals.

        Raises PolysenseError where places and signals differ in number.
        """


class InputFusion(Fusion):
    """Embeddings in the places of the text held for them: merge_embeddings.py, and nothing else."""

    @contextmanager
    def conditioned_on(self, prompt: Prompt) -> Iterator[torch.Tensor]:
        """Yield the words with the embeddings in place."""
        yield merged(prompt)
