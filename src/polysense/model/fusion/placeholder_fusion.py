"""Fusion whose signals hold one placeholder each: the LLM's layers look at the embeddings.

What looks is gated cross-attention (Flamingo) or prompts in attention (LLaMA-Adapter). The text
says where a signal stands, by a trainable embedding of its modality.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.fusion.base import Embeddings, Fusion, Prompt
from polysense.model.fusion.gated_cross_attention import GatedCrossAttention
from polysense.model.fusion.llama_adapter import LlamaAdapter
from polysense.model.fusion.media_context import counts_before, media_counts
from polysense.model.fusion.merge_embeddings import check_places, merge_embeddings, placeholder_mask
from polysense.model.llm.input_embeddings import embedding_factor, input_embeddings


class PlaceholderFusion(Fusion):
    """Marks in the text, and `attention` in the LLM that looks at the embeddings themselves.

    placeholder_embeddings  {modality: [D]}, what stands in a signal's place
    norm   brings embeddings, which begin as large as words, to unit scale for `attention`; those
           of a connector that ends in a norm, `normed` wide, stay as they are
    """

    in_sequence = False

    def __init__(
        self,
        llm: PreTrainedModel,
        attention: GatedCrossAttention | LlamaAdapter,
        modalities: Sequence[str],
        normed: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention
        mean = input_embeddings(llm).float().mean(dim=0) * embedding_factor(llm)  # it says nothing
        self.placeholder_embeddings = nn.ParameterDict(
            {name: nn.Parameter(mean.clone()) for name in modalities}
        )
        self.width = normed or len(mean)
        self.norm = nn.LayerNorm(len(mean)) if normed is None else nn.Identity()

    @contextmanager
    def conditioned_on(self, prompt: Prompt) -> Iterator[torch.Tensor]:
        """Yield the words with the modalities' own embeddings in place; M must be the same."""
        ids, placeholders, embeddings = prompt.input_ids, prompt.placeholders, prompt.embeddings
        media, held = arrange_media(ids, placeholders, embeddings, self.width)
        media = self.norm(media.to(next(self.placeholder_embeddings.parameters()).dtype))
        placeholder_embeddings = {
            name: self.placeholder_embeddings[name].expand(len(signals), 1, -1)
            for name, signals in embeddings.items()
        }
        with self.attention.conditioned_on(
            media, media_counts(held), counts_before(held, prompt.position_ids)
        ):
            yield merge_embeddings(prompt.words, ids, placeholders, placeholder_embeddings)


def arrange_media(
    input_ids: torch.Tensor, placeholders: Mapping[str, int], embeddings: Embeddings, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row's signals of all modalities, [B, K, M, D], and their places, bool [B, T].

    D, perhaps not the LLM's, is `width`. They stand in the order of their places in the text; short
    rows are filled up with zeros, and where no row has a signal there is one of zeros that nobody
    sees.
    """
    sizes = {name: given.shape[1] for name, given in embeddings.items()}
    if len(set(sizes.values())) > 1:
        raise PolysenseError(
            "fusion.kind=cross_attention or llama_adapter needs signals of as many embeddings, and "
            f"these differ: {sizes}; use a connector with queries (perceiver, qformer, upm ...)"
        )
    held = placeholder_mask(input_ids, placeholders)
    counts = media_counts(held)
    for name, token in placeholders.items():
        given = embeddings.get(name)
        check_places(input_ids == token, name, None if given is None else given[:, :1])
    if not embeddings:
        return torch.zeros(len(input_ids), 1, 1, width, device=input_ids.device), held
    first = next(iter(embeddings.values()))
    media = first.new_zeros(len(input_ids), int(counts.max()), *first.shape[1:])
    for name, given in embeddings.items():
        rows, columns = (input_ids == placeholders[name]).nonzero(as_tuple=True)
        media = media.index_put((rows, counts[rows, columns] - 1), given)
    return media, held
