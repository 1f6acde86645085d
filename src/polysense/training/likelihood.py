"""How likely a model finds each of some captions, given a signal: the ground of every ranking.

Captions are scored by log p(caption | prompt with signal). They are laid out as a prefix tree: what
captions begin with in common ("A red ...") is run once, all of them in one pass behind the prompt,
under an attention mask that lets every token see the prompt and its own beginning only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch

NODES = 768  # tokens of captions run in one pass: bounds the memory of their logits


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


@torch.inference_mode()
def likelihoods(
    llm: torch.nn.Module, prompt: torch.Tensor, captions: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return log p [C] in nats of each caption (token ids, end-of-text included) after a prompt.

    prompt: input embeddings [1, T, D]. Tokens are summed, not averaged: it is the probability of
    the whole caption.
    """
    scores: list[float] = []
    tree, waiting = PrefixTree(), []
    for caption in captions:
        tree.add(caption)
        waiting.append(caption)
        if len(tree.tokens) >= NODES:
            scores += score_tree(llm, prompt, tree, waiting)
            tree, waiting = PrefixTree(), []
    if waiting:
        scores += score_tree(llm, prompt, tree, waiting)
    return torch.tensor(scores)


def score_tree(
    llm: Any, prompt: torch.Tensor, tree: PrefixTree, captions: Sequence[Sequence[int]]
) -> list[float]:
    """Run a prompt and a tree in one pass; return each caption's log-probability."""
    start, nodes, device = prompt.shape[1], len(tree.tokens), prompt.device
    tokens = torch.tensor([tree.tokens], dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(tokens)
    total = start + nodes
    seen = torch.ones(total, total, dtype=torch.bool).tril()
    own = tree.sees()
    seen[start:, start:] = own
    mask = torch.zeros(total, total, dtype=prompt.dtype)
    mask.masked_fill_(~seen, torch.finfo(prompt.dtype).min)
    places = torch.cat([torch.arange(start), start - 1 + own.sum(dim=1)])
    logits = llm(
        inputs_embeds=torch.cat([prompt, words.to(prompt.dtype)], dim=1),
        attention_mask=mask[None, None].to(device),
        position_ids=places[None].to(device),
        logits_to_keep=torch.arange(start - 1, total, device=device),
        use_cache=False,
    ).logits[0]
    log_probabilities = logits.float().log_softmax(-1)  # row 0: after the prompt; then the nodes
    return [
        float(log_probabilities[[0, *(node + 1 for node in path)], list(caption)].sum())
        for caption, path in zip(captions, tree.paths, strict=True)
    ]


def seen_in_turn(model: PolysenseModel, batches: Iterable[Batch]) -> Iterator[torch.Tensor]:
    """Yield the input embeddings of each batch; the LLM sees its signals until the next is asked
    for."""
    for batch in batches:
        with model.seen(**batch) as prompt:
            yield prompt


def score_matrix(
    llm: torch.nn.Module,
    prompts: Iterable[torch.Tensor],
    captions: Sequence[Sequence[int]],
    advance: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Return log-likelihoods [P, C] of every caption for every prompt."""
    rows = []
    for prompt in prompts:
        rows.append(likelihoods(llm, prompt, captions))
        advance()
    return torch.stack(rows)


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
