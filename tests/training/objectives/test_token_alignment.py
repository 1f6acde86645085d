"""Captions are spelled by their rarest words, in reading order."""

import sys

import pytest
import torch

from polysense.training.objectives.bag_of_words import idf_weights, logit_scale_of_words
from polysense.training.objectives.token_alignment import spelled, token_alignment


def test_the_rarest_words_are_spelled_in_reading_order():
    tokens, idf_weights_of_rows = torch.tensor([5, 6, 7, 8]), torch.tensor([0.1, 2.0, 0.2, 1.0])
    assert spelled(tokens, idf_weights_of_rows, 2)[0].tolist() == [6, 8]
    assert spelled(tokens, idf_weights_of_rows, 3)[0].tolist() == [6, 7, 8]


def test_few_words_stand_several_times_side_by_side():
    tokens, idf_weights_of_rows = torch.tensor([5, 6]), torch.tensor([0.1, 2.0])
    assert spelled(tokens, idf_weights_of_rows, 5)[0].tolist() == [5, 5, 5, 6, 6]
    assert torch.allclose(
        spelled(tokens, idf_weights_of_rows, 5)[1], torch.tensor([0.1, 0.1, 0.1, 2.0, 2.0])
    )


def test_spelling_is_least_where_each_embedding_is_its_word(model_and_batch, monkeypatch):
    """Embeddings that are the captions' word vectors cost next to nothing, in that order only."""
    model, batch = model_and_batch
    vectors, (each,) = (
        model.input_embeddings.detach(),
        {e.shape[1] for e in model.encode_signals(**batch).values()},
    )
    rows = [
        (labels[labels != -100], found[labels != -100])
        for labels, found in zip(batch["labels"], idf_weights(batch["labels"]), strict=True)
    ]
    right = torch.stack([vectors[spelled(*row, each)[0]] for row in rows])
    losses = []
    for embeddings in (right, right.flip(1), right.flip(0)):
        monkeypatch.setattr(
            model, "encode_signals", lambda embeddings=embeddings, **_: {"image": embeddings}
        )
        losses.append(float(token_alignment(model, batch)[0]))
    assert losses[0] < 0.5 * losses[1]
    assert losses[0] < 0.5 * losses[2]


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_spelling_by_hand(model_and_batch, monkeypatch, factor):
    """Among all words, which are drawn here: each place tells its own by its rarity."""
    model, batch = model_and_batch
    vectors, labels = model.input_embeddings.detach(), batch["labels"]
    count = next(e.shape[1] for e in model.encode_signals(**batch).values())
    embeddings = torch.randn(len(labels), count, vectors.shape[1])
    monkeypatch.setattr(sys.modules[spelled.__module__], "embedding_factor", lambda _: factor)
    monkeypatch.setattr(model, "encode_signals", lambda **_: {"image": factor * embeddings})
    sizes = []
    monkeypatch.setattr(
        torch, "randint", lambda high, size, **_: (sizes.append(size), torch.arange(high))[1]
    )
    total, number = token_alignment(model, batch)
    assert sizes == [(4096,)]
    logs = (embeddings @ vectors.T * logit_scale_of_words(vectors)).log_softmax(dim=-1)
    terms = []
    for row, weights in enumerate(idf_weights(labels)):
        here = labels[row] != -100
        tokens, rarity = spelled(labels[row][here], weights[here], count)
        losses = [-float(logs[row, place, token]) for place, token in enumerate(tokens)]
        terms += zip(losses, rarity.tolist(), strict=True)
    assert len({weight for _, weight in terms}) > 1
    mean = sum(loss * weight for loss, weight in terms) / sum(weight for _, weight in terms)
    assert int(number) == int((labels != -100).sum())
    assert float(total) == pytest.approx(mean * int(number), rel=1e-4)


def test_tags_around_a_signal_spell_nothing(model_and_batch, monkeypatch):
    """The first and the last embedding are tags: what they are changes no loss."""
    model, batch = model_and_batch
    vectors = model.input_embeddings.detach()
    each = next(e.shape[1] for e in model.encode_signals(**batch).values())
    labels, idf_weights_of_rows = batch["labels"], idf_weights(batch["labels"])
    here = [row != -100 for row in labels]
    right = torch.stack(
        [
            vectors[spelled(labels[n][here[n]], idf_weights_of_rows[n][here[n]], each - 2)[0]]
            for n in range(len(labels))
        ]
    )
    monkeypatch.setattr(model.connector, "tags", 1, raising=False)
    losses = []
    for tag in (torch.zeros(len(labels), 1, vectors.shape[1]), vectors[3:4].expand(2, 1, -1)):
        embeddings = torch.cat([tag, right, tag], dim=1)
        monkeypatch.setattr(
            model, "encode_signals", lambda embeddings=embeddings, **_: {"image": embeddings}
        )
        torch.manual_seed(0)
        losses.append(float(token_alignment(model, batch)[0]))
    assert losses[0] == losses[1]


def test_spelling_moves_the_connector_and_not_the_words(model_and_batch):
    model, batch = model_and_batch
    model.connector.requires_grad_(True)
    total, count = token_alignment(model, batch)
    (total / count).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.connector.parameters())
    assert model.input_embeddings.grad is None
