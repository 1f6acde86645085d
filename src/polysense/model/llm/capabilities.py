"""What was found out about an LLM: a value made once and handed on. An LLM's quirks are here.

transformers promises little about an LLM's inside, and names of families go out of date. So what
Polysense needs of an LLM is tried on the LLM itself, on a few words, before any work
(docs/llm-families.md has the outcome for each family).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from polysense.errors import PolysenseError
from polysense.model.llm.linear_cross_entropy import LanguageHead
from polysense.model.llm.packed_attention import PackedForm, packed_inputs
from polysense.model.llm.probe import REFUSALS, alike, some_embeddings, some_words, untouched
from polysense.model.llm.selected_logits import branch_logits, row_logits

# Config fields that say how far a layer looks back, or from where on its positions change.
REACHES = (
    "sliding_window",
    "attention_chunk_size",
    "attention_window_size",
    "window_size",
    "local_attention",
    "original_max_position_embeddings",
)

PROMPT, BRANCH = 5, 24  # of the trial tree: a branch so long that ALiBi's distances go wrong


@dataclass(frozen=True)
class LogitTransform:
    """What an LLM does to the product of its hidden states and its head.

    scale    factor of the logits (Cohere's logit_scale, 1 / Granite's logits_scaling)
    softcap  c of c * tanh(logits / c) (Gemma 2's final_logit_softcapping), or None
    """

    scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class LLMCapabilities:
    """What an LLM can do.

    packed_form      how it is told where samples begin that share a row; None: it cannot be
                     (recurrent LLMs as Mamba, and those whose positions come from the mask: ALiBi)
    trees            captions may share a row as a prefix tree, each token seeing its own beginning
    reach            the longest row in which that holds; None: any
    logit_transform  what turns its head's product into its logits; None: unknown
    """

    packed_form: PackedForm | None
    trees: bool
    reach: int | None
    logit_transform: LogitTransform | None

    def runs_trees(self, length: int) -> bool:
        """Whether a prefix tree may be run in a row of so many positions."""
        return self.trees and (self.reach is None or length <= self.reach)


def find_capabilities(llm: Any) -> LLMCapabilities:
    """Try an LLM. No hook of fusion may act meanwhile."""
    return LLMCapabilities(
        packed_form=find_packed_form(llm),
        trees=scores_trees(llm),
        reach=shortest_reach(llm),
        logit_transform=find_logit_transform(llm),
    )


def language_head(llm: Any, transform: LogitTransform) -> LanguageHead:
    """Return the head that turns the decoder's last hidden state into the LLM's logits."""
    return LanguageHead(llm.get_output_embeddings(), transform.scale, transform.softcap)


def shortest_reach(llm: Any) -> int | None:
    """Return the shortest window, chunk or span of positions that the LLM's config speaks of.

    A mask of ours replaces the window that the LLM would have put into its own.
    """
    config = llm.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    found = [getattr(config, name, None) for name in REACHES]
    found += [rope.get(name) for name in REACHES]
    return min((value for value in found if isinstance(value, int) and value > 0), default=None)


def check_llm(llm: Any, name: str) -> None:
    """Try what every run needs of an LLM; raises PolysenseError, naming it, where it cannot.

    It must generate from embeddings: signals come to it as these.
    """
    if any(weight.is_meta for weight in llm.parameters()):
        return  # only its sizes, or its word vectors, are asked for
    kind = type(llm).__name__
    with untouched(llm):
        embeddings = some_embeddings(llm, 3)[None]
        try:
            llm.generate(inputs_embeds=embeddings, max_new_tokens=2, do_sample=False)
        except REFUSALS as error:
            raise PolysenseError(
                f"LLM {name!r}: {kind} cannot generate from embeddings, as which signals come to "
                "it; take one of a family that generates (docs/llm-families.md)"
            ) from error


def find_logit_transform(llm: Any) -> LogitTransform | None:
    """Return the transform that the LLM's config speaks of, if it gives the LLM's logits."""
    config = llm.config.get_text_config()
    linear, decoder = llm.get_output_embeddings(), llm.get_decoder()
    if linear is None or decoder is llm or not hasattr(linear, "weight"):
        return None
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    transform = LogitTransform(scale, getattr(config, "final_logit_softcapping", None))
    with untouched(llm):
        embeddings = some_embeddings(llm, 4)[None]
        given = llm(inputs_embeds=embeddings, use_cache=False).logits
        try:
            states = decoder(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        except REFUSALS:
            return None  # its `get_decoder` gives something else (ModernBERT's a linear layer)
        found = language_head(llm, transform)(states)
        return transform if alike(found, given, llm.dtype) else None


def find_packed_form(llm: Any) -> PackedForm | None:
    """Compare two rows of samples with the same samples alone, first by positions, then by mask."""
    rows = [[5, 3, 1], [2, 7]]
    forms: list[PackedForm] = ["positions"]
    # A window of attention is in the mask that the LLM makes itself; ours would replace it.
    if getattr(llm.config.get_text_config(), "sliding_window", None) is None:
        forms.append("mask")
    with untouched(llm):
        words = some_embeddings(llm, 9)
        packed = torch.stack([torch.cat([words[:length] for length in row]) for row in rows])
        positions = torch.tensor([[p for n in row for p in range(n)] for row in rows])
        alone = llm(inputs_embeds=words[None], use_cache=False).logits[0]
        wanted = torch.stack([torch.cat([alone[:length] for length in row]) for row in rows])
        for form in forms:
            inputs = packed_inputs(llm, positions.to(packed.device), form)
            try:
                found = llm(inputs_embeds=packed, use_cache=False, **inputs).logits
            except REFUSALS:
                continue
            if alike(found, wanted, llm.dtype):
                return form
    return None


def scores_trees(llm: Any) -> bool:
    """Compare a tree of two branches behind a prompt with each branch by itself."""
    words = some_words(llm, PROMPT + 2 * BRANCH).tolist()
    reach = shortest_reach(llm)
    branch = BRANCH if reach is None or reach >= len(words) else max(1, (reach - PROMPT) // 2)
    first, second = words[PROMPT : PROMPT + branch], words[-branch:]
    seen = torch.block_diag(*[torch.ones(branch, branch).tril()] * 2).bool()
    with untouched(llm):
        prompt = some_embeddings(llm, PROMPT)[None]
        try:
            tree = branch_logits(llm, prompt, [*first, *second], seen)[0]
        except REFUSALS:
            return False
        found = [tree[: branch + 1], torch.cat([tree[:1], tree[branch + 1 :]])]
        for logits, ids in zip(found, (first, second), strict=True):
            if not alike(logits, row_logits(llm, prompt, [ids])[0], llm.dtype):
                return False
    return True
