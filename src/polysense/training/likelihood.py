"""How likely a model finds each of some captions, given a signal: the ground of every ranking.

Captions are scored by log p(caption | prompt with signal). They are laid out as a prefix tree: what
captions begin with in common ("A red ...") is run once, all of them in one pass behind the prompts,
under an attention mask that lets every token see the prompt and its own beginning only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch

NODES = 768  # tokens of captions run in one pass: bounds the memory of their logits
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
    llm: torch.nn.Module, prompts: torch.Tensor, captions: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return log p [N, C] in nats of each caption (token ids, end-of-text included) after prompts.

    prompts: input embeddings [N, T, D]. Tokens are summed, not averaged: it is the probability of
    the whole caption.
    """
    scores: list[torch.Tensor] = []
    tree = PrefixTree()
    for number, caption in enumerate(captions, start=1):
        tree.add(caption)
        if len(prompts) * len(tree.tokens) >= NODES or number == len(captions):
            some = captions[number - len(tree.paths) : number]
            scores.append(score_tree(llm, prompts, tree, some))
            tree = PrefixTree()
    return torch.cat(scores, dim=1)


def score_tree(
    llm: Any, prompts: torch.Tensor, tree: PrefixTree, captions: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Run prompts [N, T, D] and the captions' tree in one pass; return log-probabilities [N, C]."""
    (count, start, _), device = prompts.shape, prompts.device
    tokens = torch.tensor([tree.tokens], dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(tokens).to(prompts.dtype).expand(count, -1, -1)
    total = start + len(tree.tokens)
    seen = torch.ones(total, total, dtype=torch.bool).tril()
    own = tree.sees()
    seen[start:, start:] = own
    mask = torch.zeros(total, total, dtype=prompts.dtype)
    mask.masked_fill_(~seen, torch.finfo(prompts.dtype).min)
    places = torch.cat([torch.arange(start), start - 1 + own.sum(dim=1)])
    logits = llm(
        inputs_embeds=torch.cat([prompts, words], dim=1),
        attention_mask=mask.expand(count, 1, -1, -1).to(device),
        position_ids=places.expand(count, -1).to(device),
        logits_to_keep=torch.arange(start - 1, total, device=device),
        use_cache=False,
    ).logits
    # Row 0: after the prompt; then the nodes.
    log_probabilities = logits.float().log_softmax(-1).cpu()
    columns = [
        log_probabilities[:, [0, *(node + 1 for node in path)], list(caption)].sum(dim=1)
        for caption, path in zip(captions, tree.paths, strict=True)
    ]
    return torch.stack(columns, dim=1)


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
    for indices in equally_long(lengths, PROMPTS):
        with model.seen(**batch_of(indices)) as prompts:
            scores[indices] = likelihoods(model.llm, prompts, captions)
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


def without_prior(scores: torch.Tensor) -> torch.Tensor:
    """Take the captions' own probability out: log p(c | x) - log mean_x' p(c | x').

    The LLM finds some captions likely whatever it sees; what is left is what the picture says
    (Lin et al., "Revisiting the Role of Language Priors in Vision-Language Models", 2024).
    """
    count = torch.log(torch.tensor(float(len(scores))))
    return scores - (scores.logsumexp(dim=0, keepdim=True) - count)


def ranks(scores: torch.Tensor, truth: Sequence[int]) -> torch.Tensor:
    """Return the rank [P] of each row's true caption, 1 being best; ties count against it."""
    columns = torch.as_tensor(truth)
    own = scores.gather(1, columns[:, None])
    return (scores >= own).sum(dim=1)
