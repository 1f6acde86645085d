"""Token alignment: a signal's embeddings stand for the words of its caption, in their order.

A frozen LLM reads word vectors in a sentence's order at once, and a bag of words hardly at all
(docs/onellm-laptop.md has the figures). It takes a connector whose embeddings know their place, as
the queries of the UPM, the Q-Former and the resamplers do; one that maps each position by itself
cannot, and is trained by the bag of words (bag_of_words.py).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.model.llm.input_embeddings import embedding_factor
from polysense.model.polysense_model import PolysenseModel
from polysense.training.objectives.bag_of_words import idf_weights, logit_scale_of_words
from polysense.types import Batch

OTHERS = 4096  # random words that a caption's words are told from


def token_alignment(model: PolysenseModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """A signal's embeddings point, in order, at the word vectors of its caption's words.

    Needs no pass through the LLM, only its word vectors, so it costs a hundredth of `next_token`,
    and a frozen LLM reads embeddings that stand like words in a sentence at once. Of a caption with
    more words than there are embeddings the rarest are aligned. In nats: (sum, labels).
    """
    ids, labels, tags = batch["input_ids"], batch["labels"], model.connector.tags
    idf_weights_of_rows = idf_weights(labels)
    spoken, said = [], []
    for name, embeddings in model.encode_signals(**batch).items():
        each = embeddings.shape[1]
        spoken.append(embeddings[:, tags : each - tags].flatten(0, 1))
        signals = (ids == model.config.placeholders[name]).sum(dim=1) // each
        for row in torch.arange(len(ids), device=ids.device).repeat_interleave(signals):
            trainable = labels[row] != IGNORED
            said.append(
                spelled(
                    labels[row][trainable], idf_weights_of_rows[row][trainable], each - 2 * tags
                )
            )
    tokens, weights = (torch.cat(part) for part in zip(*said, strict=True))
    embedded = torch.cat(spoken) / embedding_factor(model.llm)  # as large as the word vectors
    losses = word_losses(embedded, tokens, model.input_embeddings)
    count = (labels != IGNORED).sum()
    return (losses * weights).sum() * count / weights.sum(), count


def spelled(
    tokens: torch.Tensor, idf_weights_of_rows: torch.Tensor, places: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the token of each of `places` and its idf_weights: the rarest tokens in reading order.

    Fewer tokens than places stand several times, side by side.
    """
    kept = idf_weights_of_rows.topk(min(places, len(tokens))).indices.sort().values
    chosen = kept[torch.arange(places, device=kept.device) * len(kept) // places]
    return tokens[chosen], idf_weights_of_rows[chosen]


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
    logits = (embeddings.to(chosen.dtype) @ chosen.T).float() * logit_scale_of_words(vectors)
    return functional.cross_entropy(logits, inverse[: len(tokens)], reduction="none")
