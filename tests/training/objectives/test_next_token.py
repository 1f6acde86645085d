"""The objectives in words: sums and counts, and the bag of words."""

import sys

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.training.objectives import objective_named
from polysense.training.objectives.bag_of_words import (
    bag_of_words,
    idf_weights,
    logit_scale_of_words,
)
from polysense.training.objectives.next_token import next_token


def test_next_token_equals_the_whole_logits_cross_entropy(model_and_batch):
    model, batch = model_and_batch
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.inference_mode():
        total, count = next_token(model, batch)
        logits = model(**inputs).logits[:, :-1]
    labels = batch["labels"][:, 1:]
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
    )
    assert int(count) == int((labels != -100).sum())
    assert float(total) == pytest.approx(float(expected), rel=1e-5)


def test_words_moves_the_connector_and_not_the_words(model_and_batch):
    model, batch = model_and_batch
    model.connector.requires_grad_(True)
    total, count = bag_of_words(model, batch)
    (total / count).backward()
    gradients = [p.grad for p in model.connector.parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)
    assert model.input_embeddings.grad is None


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_words_weighs_each_by_its_rarity(model_and_batch, monkeypatch, factor):
    """By hand, with the same embedding at every place of a row, so that any may be drawn.

    Embeddings are as large as what an LLM that multiplies its word vectors by `factor` reads.
    """
    model, batch = model_and_batch
    monkeypatch.setattr(sys.modules[bag_of_words.__module__], "embedding_factor", lambda _: factor)
    vectors = model.input_embeddings.detach()
    rows = torch.stack([vectors[5], vectors[9] + vectors[11]])
    count = next(e.shape[1] for e in model.encode_signals(**batch).values())
    monkeypatch.setattr(
        model, "encode_signals", lambda **_: {"image": factor * rows[:, None].expand(-1, count, -1)}
    )
    total, number = bag_of_words(model, batch)
    logs = (rows @ vectors.T * logit_scale_of_words(vectors)).log_softmax(dim=1)
    terms = [
        (-float(logs[row, label]), float(idf_weights(batch["labels"])[row, place]))
        for row, labels in enumerate(batch["labels"].tolist())
        for place, label in enumerate(labels)
        if label != -100
    ]
    weights = [weight for _, weight in terms]
    assert len(set(weights)) > 1
    expected = sum(loss * weight for loss, weight in terms) * len(terms) / sum(weights)
    assert int(number) == len(terms)
    assert float(total) == pytest.approx(expected, rel=1e-4)


def test_each_place_of_a_signal_is_drawn(model_and_batch, monkeypatch):
    model, batch = model_and_batch
    vectors = model.input_embeddings.detach()
    count = next(e.shape[1] for e in model.encode_signals(**batch).values())
    places = torch.stack([vectors[3 : 3 + count], vectors[3 : 3 + count]])
    monkeypatch.setattr(model, "encode_signals", lambda **_: {"image": places})
    torch.manual_seed(0)
    with torch.inference_mode():
        totals = {round(float(bag_of_words(model, batch)[0]), 3) for _ in range(40 * count)}
    assert len(totals) == count**2  # each of one row with each of the other


def test_a_word_has_a_logit_of_twenty_where_its_vector_stands():
    vectors = torch.full((32, 4), 1.5)
    assert float(logit_scale_of_words(vectors)) == pytest.approx(20 / 9)
    vectors[16] = 3.0  # every 16th is asked
    assert float(logit_scale_of_words(vectors)) == pytest.approx(20 / ((9 + 36) / 2))


def test_rarity_is_the_log_of_how_few_rows_hold_a_token():
    labels = torch.tensor([[7, 8, 8], [-100, 7, 9]])
    expected = torch.log(torch.tensor([[3 / 2, 3.0, 3.0], [1.0, 3 / 2, 3.0]]))
    assert torch.allclose(idf_weights(labels), expected)


@pytest.mark.parametrize(
    ("name", "packs", "in_sequence", "pairs"),
    [
        ("next_token", True, False, False),
        ("bag_of_words", False, True, False),
        ("token_alignment", False, True, False),
        ("itc", False, False, True),
        ("itc+itm+itg", False, False, True),
    ],
)
def test_what_objectives_read_of_their_samples(name, packs, in_sequence, pairs):
    found = objective_named(name)
    assert (found.packs, found.in_sequence, found.pairs) == (packs, in_sequence, pairs)


def test_unknown_objective_names_the_known():
    with pytest.raises(
        PolysenseError, match="Known: bag_of_words, itc, itg, itm, next_token, token_alignment"
    ):
        objective_named("itc+matching")
    with pytest.raises(PolysenseError, match="only itc, itm, itg can be added up"):
        objective_named("itc+bag_of_words")
