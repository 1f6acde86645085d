"""How likely a model finds each of some captions, given a signal: the ground of every ranking.

Captions are scored by log p(caption | prompt with signal). They are laid out as a prefix tree: what
captions begin with in common ("A red ...") is run once, all of them in one pass behind the prompts,
under an attention mask that lets every token see the prompt and its own beginning only.

An LLM whose layers do not heed such a mask (recurrent ones, ALiBi), or whose window of attention is
shorter than the tree, gets rows instead: each caption behind its prompt, as any text
(model/llm/capabilities.py finds out which).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from polysense.model.llm.capabilities import LLMCapabilities
from polysense.model.llm.selected_logits import branch_logits, row_logits
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch

NODES = 768  # tokens of captions run in one pass: bounds the memory of their logits
ROW_POSITIONS = 2048  # positions run in one pass where captions have rows of their own
PROMPTS = 8  # equally long prompts run together: matrices of their size are multiplied faster


@dataclass
class PrefixTree:
    """Token sequences that share their beginnings.

    tokens   the token of each node
    parents  the node before it; -1 is the prompt
    paths    for each sequence the nodes that predict its 2nd, 3rd ... token
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    _known: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, sequence: Sequence[int]) -> None:
        """Add a sequence; its last token is only predicted, so it needs no node."""
        node, path = -1, []
        for token in sequence[:-1]:
            step = (node, token)
            if step not in self._known:
                self._known[step] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
            node = self._known[step]
            path.append(node)
        self.paths.append(path)

    def sees(self) -> torch.Tensor:
        """Return [n, n], true where a node sees another: itself and what leads to it."""
        seen = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def caption_ids(text_tokenizer: Any, captions: Sequence[str]) -> list[list[int]]:
    """Return the ids of captions as the assistant's answers: the words, then end-of-text."""
    return [
        [
            *text_tokenizer(caption, add_special_tokens=False)["input_ids"],
            text_tokenizer.eos_token_id,
        ]
        for caption in captions
    ]


@torch.inference_mode()
def likelihoods(
    llm: torch.nn.Module,
    prompts: torch.Tensor,
    captions: Sequence[Sequence[int]],
    capabilities: LLMCapabilities,
) -> torch.Tensor:
    """Return log p [N, C] in nats of each caption (token ids, end-of-text included) after prompts.

    prompts: input embeddings [N, T, D]. Tokens are summed, not averaged: it is the probability of
    the whole caption.
    """
    if not capabilities.runs_trees(prompts.shape[1] + max(map(len, captions))):
        return score_rows(llm, prompts, captions)
    scores: list[torch.Tensor] = []
    start, tree = 0, PrefixTree()
    for number, caption in enumerate(captions, start=1):
        tree.add(caption)
        last = number == len(captions)
        longest = 0 if last else len(captions[number])
        room = capabilities.runs_trees(prompts.shape[1] + len(tree.tokens) + longest)
        if last or not room or len(prompts) * len(tree.tokens) >= NODES:
            scores.append(score_tree(llm, prompts, tree, captions[start:number]))
            start, tree = number, PrefixTree()
    return torch.cat(scores, dim=1)


def score_tree(
    llm: Any, prompts: torch.Tensor, tree: PrefixTree, captions: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Run prompts [N, T, D] and the captions' tree in one pass; return log-probabilities [N, C]."""
    logits = branch_logits(llm, prompts, tree.tokens, tree.sees())
    # Row 0: after the prompt; then the nodes.
    log_probabilities = logits.float().log_softmax(-1).cpu()
    columns = [
        log_probabilities[:, [0, *(node + 1 for node in path)], list(caption)].sum(dim=1)
        for caption, path in zip(captions, tree.paths, strict=True)
    ]
    return torch.stack(columns, dim=1)


def score_rows(llm: Any, prompts: torch.Tensor, captions: Sequence[Sequence[int]]) -> torch.Tensor:
    """Run every caption behind every prompt [N, T, D] in a row of its own; return [N, C].

    Captions of one length go together, so that nothing is padded.
    """
    count, start, _ = prompts.shape
    scores = torch.empty(count, len(captions))
    lengths = [len(caption) for caption in captions]
    rows = max(1, ROW_POSITIONS // (count * (start + max(lengths))))
    for indices in equally_long(lengths, rows):
        some = [list(captions[index]) for index in indices]
        logits = row_logits(llm, prompts, [caption[:-1] for caption in some])
        wanted = torch.tensor(some, device=logits.device).repeat(count, 1)  # [N * C, L]
        found = logits.float().log_softmax(-1).gather(2, wanted[..., None])[..., 0]
        scores[:, indices] = found.sum(dim=1).view(count, len(some)).cpu()
    return scores


def score_matrix(
    model: PolysenseModel,
    lengths: Sequence[int],
    batch_of: Callable[[list[int]], Batch],
    captions: Sequence[Sequence[int]],
    advance: Callable[[int], None] = lambda _: None,
) -> torch.Tensor:
    """Return log-likelihoods [P, C] of every caption for every prompt.

    `lengths` are the prompts' in tokens; `batch_of` returns those of some indices, equally long.
    """
    scores = torch.empty(len(lengths), len(captions))
    capabilities = model.capabilities
    for indices in equally_long(lengths, PROMPTS):
        with model.multimodal_inputs(**batch_of(indices)) as prompts:
            scores[indices] = likelihoods(model.llm, prompts, captions, capabilities)
        advance(len(indices))
    return scores


def equally_long(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Deal the indices of `lengths` into batches of at most `size`, each of one length."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    return [
        group[start : start + size]
        for group in by_length.values()
        for start in range(0, len(group), size)
    ]


def pmi_scores(scores: torch.Tensor) -> torch.Tensor:
    """Take the captions' own probability out: log p(c | x) - log mean_x' p(c | x').

    The LLM finds some captions likely whatever it sees; what is left is what the picture says
    (Lin et al., "Revisiting the Role of Language Priors in Vision-Language Models", 2024).
    """
    count = torch.log(torch.tensor(float(len(scores))))
    return scores - (scores.logsumexp(dim=0, keepdim=True) - count)


def ranks(scores: torch.Tensor, truth: Sequence[int]) -> torch.Tensor:
    """Return the rank [P] of each row's true caption, 1 being best.

    Ties count against it, and so do scores that are no numbers: a true caption of NaN is last.
    """
    columns = torch.as_tensor(truth)
    own = scores.gather(1, columns[:, None])
    return (~(scores < own)).sum(dim=1)
