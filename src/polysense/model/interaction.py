"""Where the LLM meets the signals: among its words, or inside its layers.

    input    embeddings take places in the text (LLaVA, BLIP-2, OneLLM); no weights
    expert   as input, and the layers have weights of their own for those places (CogVLM)
    gated    blocks between the layers look at the embeddings (Flamingo)
    adapter  attention in the layers looks at them besides the text (LLaMA-Adapter)

For the last two a signal has one place in the text, which holds a learnt mark of its sense. All but
"input" begin as what they are put into: before the first step the logits are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.config import InteractionConfig
from polysense.errors import PolysenseError, unknown_name
from polysense.model.adapter_prompts import AdapterPrompts
from polysense.model.gated_attention import GatedAttention
from polysense.model.llm import embedding_factor, word_vectors
from polysense.model.splice import check_places, held_places, splice
from polysense.model.view import Hooked, check_hooks, counts_before, media_counts
from polysense.model.visual_expert import VisualExpert

INTERACTIONS = ("input", "gated", "adapter", "expert")
MARKED = frozenset({"gated", "adapter"})  # kinds that leave marks in the text, and no embeddings
Embeddings = Mapping[str, torch.Tensor]  # {modality: [N, M, D]}, in reading order


class Interaction(nn.Module, ABC):
    """How an LLM comes to see embeddings. `inline`: they stand among the words, M places each."""

    inline: bool = True

    def places(self, embeddings: int) -> int:
        """Return how many places in the text a signal of so many embeddings takes."""
        return embeddings if self.inline else 1

    @abstractmethod
    def seeing(
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


class InputInteraction(Interaction):
    """Embeddings in the places of the text that are held for them: splice.py, and nothing else."""

    @contextmanager
    def seeing(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Embeddings,
        position_ids: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield the words with the embeddings in place."""
        yield splice(words, input_ids, placeholders, embeddings)


class ExpertInteraction(InputInteraction):
    """As at the input; and an expert in the LLM has weights of its own for those places."""

    def __init__(self, expert: VisualExpert) -> None:
        super().__init__()
        self.expert = expert

    @contextmanager
    def seeing(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Embeddings,
        position_ids: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield the words with the embeddings in place, which are the expert's."""
        prompt = splice(words, input_ids, placeholders, embeddings)
        with self.expert.seeing(held_places(input_ids, placeholders)):
            yield prompt


class MarkedInteraction(Interaction):
    """Marks in the text, and `attention` in the LLM that looks at the embeddings themselves.

    marks  {modality: [D]}, what stands in a signal's place
    norm   brings embeddings, which begin as large as words, to unit scale for `attention`; those
           of a connector that ends in a norm, `normed` wide, stay as they are
    """

    inline = False

    def __init__(
        self,
        llm: PreTrainedModel,
        attention: GatedAttention | AdapterPrompts,
        modalities: Sequence[str],
        normed: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention
        mean = word_vectors(llm).float().mean(dim=0) * embedding_factor(llm)  # it says nothing
        self.marks = nn.ParameterDict({name: nn.Parameter(mean.clone()) for name in modalities})
        self.width = normed or len(mean)
        self.norm = nn.LayerNorm(len(mean)) if normed is None else nn.Identity()

    @contextmanager
    def seeing(
        self,
        words: torch.Tensor,
        input_ids: torch.Tensor,
        placeholders: Mapping[str, int],
        embeddings: Embeddings,
        position_ids: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield the words with the marks in place; modalities must have the same M."""
        media, held = arranged(input_ids, placeholders, embeddings, self.width)
        media = self.norm(media.to(next(self.marks.parameters()).dtype))
        marks = {
            name: self.marks[name].expand(len(signals), 1, -1)
            for name, signals in embeddings.items()
        }
        with self.attention.seeing(media, media_counts(held), counts_before(held, position_ids)):
            yield splice(words, input_ids, placeholders, marks)


def arranged(
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
            "interaction.kind=gated or adapter needs signals of as many embeddings, and these "
            f"differ: {sizes}; use a connector with queries (perceiver, qformer, resampler, upm)"
        )
    held = held_places(input_ids, placeholders)
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


def build_interaction(
    config: InteractionConfig,
    llm: PreTrainedModel,
    modalities: Sequence[str],
    normed: int | None = None,
) -> Interaction:
    """Build the interaction `config.kind`, and put it into the LLM.

    Embeddings are of the LLM's width and scale, or `normed` wide behind a norm. Raises
    PolysenseError where the kind is unknown or the LLM is not built as it needs.
    """
    if normed is not None and config.kind != "gated":
        raise PolysenseError(
            f"connector.style=idefics ends in a norm at the encoder's width: interaction.kind="
            f"{config.kind} cannot read that; set it to gated"
        )
    width = normed or word_vectors(llm).shape[1]
    options = config.given("every", "heads", "feedforward")
    if config.style == "idefics":
        options |= {"style": config.style, "gates": config.gates}
        options |= {"query_key_norm": config.query_key_norm}
    makers: dict[str, Callable[[], Interaction]] = {
        "input": InputInteraction,
        "expert": lambda: ExpertInteraction(VisualExpert(llm, **config.given("every"))),
        "adapter": lambda: MarkedInteraction(
            llm, AdapterPrompts(llm, **config.given("layers", "prompts")), modalities
        ),
        "gated": lambda: MarkedInteraction(
            llm, GatedAttention(llm, width, **options), modalities, normed
        ),
    }
    if config.kind not in makers:
        raise unknown_name("interaction", config.kind, INTERACTIONS)
    interaction = makers[config.kind]()
    for module in interaction.modules():
        if isinstance(module, Hooked):
            check_hooks(llm, module, config.kind)
    return interaction
