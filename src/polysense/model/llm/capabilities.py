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
from polysense.model.llm.next_token_loss import logits_at
from polysense.model.llm.packed_attention import branch_logits, packed_form
from polysense.model.llm.probe import REFUSALS, alike, some_embeddings, some_words, untouched

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
class LLMCapabilities:
    """What an LLM can do.

    packs    samples may share a row, kept apart by position ids or a mask
    trees    captions may share a row as a prefix tree, each token seeing its own beginning only
    reach    the longest row in which that holds; None: any
    """

    packs: bool
    trees: bool
    reach: int | None

    def runs_trees(self, length: int) -> bool:
        """Whether a prefix tree may be run in a row of so many positions."""
        return self.trees and (self.reach is None or length <= self.reach)


def find_capabilities(llm: Any) -> LLMCapabilities:
    """Try an LLM. No hook of ours may act meanwhile."""
    return LLMCapabilities(
        packs=packed_form(llm) is not None, trees=_scores_trees(llm), reach=shortest_reach(llm)
    )


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


def _scores_trees(llm: Any) -> bool:
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


def row_logits(llm: Any, prompts: torch.Tensor, rows: list[list[int]]) -> torch.Tensor:
    """Run each of C equally long rows of tokens behind each of prompts [N, T, D].

    Returns logits [N * C, 1 + n, V], a prompt's rows side by side: after the prompt, and after each
    token. There is no padding and no mask, so that it is right for every LLM.
    """
    start, device = prompts.shape[1], prompts.device
    ids = torch.tensor(rows, dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(ids).to(prompts.dtype).repeat(len(prompts), 1, 1)
    inputs = torch.cat([prompts.repeat_interleave(len(rows), dim=0), words], dim=1)
    columns = torch.arange(start - 1, inputs.shape[1], device=device)
    return logits_at(llm, columns, inputs_embeds=inputs, use_cache=False)
