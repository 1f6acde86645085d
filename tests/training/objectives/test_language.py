"""The objectives in words: sums and counts, and the bag of words."""

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.training.objectives import objective_named
from polysense.training.objectives.language import next_token, rarity, words


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
    total, count = words(model, batch)
    (total / count).backward()
    gradients = [p.grad for p in model.connector.parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)
    assert model.word_vectors.grad is None


def test_rarity_is_the_log_of_how_few_rows_hold_a_token():
    labels = torch.tensor([[7, 8, 8], [-100, 7, 9]])
    expected = torch.log(torch.tensor([[3 / 2, 3.0, 3.0], [1.0, 3 / 2, 3.0]]))
    assert torch.allclose(rarity(labels), expected)


def test_unknown_objective_names_the_known():
    with pytest.raises(
        PolysenseError, match="Known: caption, contrast, match, next_token, spelling, words"
    ):
        objective_named("contrast+matching")
    with pytest.raises(PolysenseError, match="only contrast, match, caption can be added up"):
        objective_named("contrast+words")
