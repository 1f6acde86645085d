"""Objectives in the LLM's words: the next one, and which ones.

Both are sums over the batch's labels, with the number of them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from polysense.data.chat import IGNORED
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch

OTHERS = 4096  # random words that `words` tells a caption's words from


def next_token(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the labelled tokens, in nats: (sum, number of labels)."""
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    with model.seen(**batch) as prompt:
        return model.label_loss(prompt, mask, batch["labels"], positions)


def words(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Spelling: a signal's embeddings point, in order, at the word vectors of its caption's words.

    Needs no pass through the LLM, only its word vectors, so it costs a hundredth of `next_token`,
    and a frozen LLM reads embeddings that stand like words in a sentence at once. Of a caption with
    more words than there are embeddings the rarest are spelled. In nats: (sum, labels).
    """
    ids, labels, tags = batch["input_ids"], batch["labels"], model.connector.tags
    rarities = rarity(labels)
    spoken, said = [], []
    for name, embeddings in model.perceive(**batch).items():
        each = embeddings.shape[1]
        spoken.append(embeddings[:, tags : each - tags].flatten(0, 1))
        signals = (ids == model.config.placeholders[name]).sum(dim=1) // each
        for row in torch.arange(len(ids), device=ids.device).repeat_interleave(signals):
            learnt = labels[row] != IGNORED
            said.append(spelled(labels[row][learnt], rarities[row][learnt], each - 2 * tags))
    tokens, weights = (torch.cat(part) for part in zip(*said, strict=True))
    losses = word_losses(torch.cat(spoken), tokens, model.word_vectors)
    count = (labels != IGNORED).sum()
    return (losses * weights).sum() * count / weights.sum(), count


def rarity(labels: torch.Tensor) -> torch.Tensor:
    """Return log((rows + 1) / rows that hold the token) for labels [B, T], 0 where there is none.

    "A" and "." weigh next to nothing then.
    """
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    tokens, inverse = labels[rows, columns].unique(return_inverse=True)
    holds = torch.zeros(len(labels), len(tokens), device=labels.device)
    holds[rows, inverse] = 1
    found = torch.zeros_like(labels, dtype=torch.float32)
    found[rows, columns] = torch.log((len(labels) + 1) / holds.sum(dim=0))[inverse]
    return found


def spelled(
    tokens: torch.Tensor, rarities: torch.Tensor, places: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the token of each of `places` and its rarity: the rarest tokens in reading order.

    Fewer tokens than places stand several times, side by side.
    """
    kept = rarities.topk(min(places, len(tokens))).indices.sort().values
    chosen = kept[torch.arange(places, device=kept.device) * len(kept) // places]
    return tokens[chosen], rarities[chosen]


def word_losses(
    embeddings: torch.Tensor, tokens: torch.Tensor, vectors: torch.Tensor
) -> torch.Tensor:
    """Return the loss [P], in nats, of telling each embedding's token by its word vector.

    embeddings [P, D], tokens [P], vectors [V, D]. Told apart from one another and from `OTHERS`
    random words, drawn anew each time: a whole vocabulary would cost more than all the rest.
    """
    others = torch.randint(len(vectors), (OTHERS,), device=tokens.device)
    choices, inverse = torch.cat([tokens, others]).unique(return_inverse=True)
    chosen = vectors[choices]
    # Scaled so that an embedding equal to one word's vector gives that word a logit of about 20.
    scale = 20.0 / vectors.detach().float().square().sum(dim=1).mean()
    logits = (embeddings.to(chosen.dtype) @ chosen.T).float() * scale
    return functional.cross_entropy(logits, inverse[: len(tokens)], reduction="none")
