"""Where the LLM meets the signals: among its words, or from gated blocks between its layers.

At the input (LLaVA, BLIP-2, OneLLM) embeddings take places in the text: that is splice.py, and
needs no weights. Gated (Flamingo, arXiv 2204.14198), a signal has one place, which holds a learnt
mark, and the text after it looks at the signal's embeddings through gated_attention.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.config import InteractionConfig
from polysense.errors import PolysenseError
from polysense.model.gated_attention import GatedAttention
from polysense.model.llm import word_vectors
from polysense.model.splice import check_places, splice


class GatedInteraction(nn.Module):
    """Gated blocks in an LLM, and for each modality the vector [D] that marks a signal's place."""

    def __init__(
        self, llm: PreTrainedModel, config: InteractionConfig, modalities: Sequence[str]
    ) -> None:
        super().__init__()
        words = word_vectors(llm).float()
        self.attention = GatedAttention(
            llm, words.shape[1], config.every, config.heads, config.feedforward
        )
        # A mark starts as the mean word, which says nothing.
        mean = words.mean(dim=0)
        self.marks = nn.ParameterDict({name: nn.Parameter(mean.clone()) for name in modalities})

    @contextmanager
    def seeing(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Mapping[str, torch.Tensor],
    ) -> Iterator[torch.Tensor]:
        """Yield words [B, T, D] with the marks in place; inside, the LLM sees the embeddings.

        `embeddings` {modality: [N, M, D]} are in reading order, one placeholder each. Raises
        PolysenseError where places and signals differ in number, or modalities in M.
        """
        media, counts = arranged(input_ids, placeholders, embeddings, words.shape[-1])
        marks = {
            name: self.marks[name].expand(len(signals), 1, -1)
            for name, signals in embeddings.items()
        }
        with self.attention.seeing(media, counts):
            yield splice(words, input_ids, placeholders, marks)


def arranged(
    input_ids: torch.Tensor,
    placeholders: Mapping[str, int],
    embeddings: Mapping[str, torch.Tensor],
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row's signals of all modalities, [B, K, M, D], and their counts [B, T].

    D is `width`. They stand in the order of their places in the text; short rows are filled up with
    zeros, and where no row has a signal there is one of zeros that nobody sees.
    """
    sizes = {name: given.shape[1] for name, given in embeddings.items()}
    if len(set(sizes.values())) > 1:
        raise PolysenseError(
            f"gated attention needs signals of as many embeddings, and these differ: {sizes}; use "
            "a connector with queries (perceiver, qformer, resampler, upm)"
        )
    here = {name: input_ids == token for name, token in placeholders.items()}
    held = torch.stack(list(here.values())).any(dim=0)
    counts = held.cumsum(dim=1)
    for name, places in here.items():
        given = embeddings.get(name)
        check_places(places, name, None if given is None else given[:, :1])
    if not embeddings:
        return torch.zeros(len(input_ids), 1, 1, width, device=input_ids.device), counts
    first = next(iter(embeddings.values()))
    media = first.new_zeros(len(input_ids), int(counts.max()), *first.shape[1:])
    for name, given in embeddings.items():
        rows, columns = here[name].nonzero(as_tuple=True)
        media = media.index_put((rows, counts[rows, columns] - 1), given)
    return media, counts
