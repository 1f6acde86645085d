"""The objectives in words: sums and counts, and how captions are spelled."""

import pytest
import torch
from tiny import tiny_config

from polysense.errors import PolysenseError
from polysense.training.objectives import objective_named
from polysense.training.objectives.language import next_token, rarity, spelled, words
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def model_and_batch(tmp_path_factory):
    model, processor = build(resolve(tiny_config(tmp_path_factory.mktemp("parts"))))
    conversations = [
        [
            {"role": "user", "content": [{"type": "image", "image": picture}]},
            {"role": "assistant", "content": caption},
        ]
        for picture, caption in (
            (torch.zeros(9, 9, 3, dtype=torch.uint8).numpy(), "A red line."),
            (torch.full((9, 9, 3), 200, dtype=torch.uint8).numpy(), "A long blue circle."),
        )
    ]
    return model.eval(), processor.apply_chat_template(conversations, add_generation_prompt=False)


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


def test_the_rarest_words_are_spelled_in_reading_order():
    tokens, rarities = torch.tensor([5, 6, 7, 8]), torch.tensor([0.1, 2.0, 0.2, 1.0])
    assert spelled(tokens, rarities, 2)[0].tolist() == [6, 8]
    assert spelled(tokens, rarities, 3)[0].tolist() == [6, 7, 8]


def test_few_words_stand_several_times_side_by_side():
    tokens, rarities = torch.tensor([5, 6]), torch.tensor([0.1, 2.0])
    assert spelled(tokens, rarities, 5)[0].tolist() == [5, 5, 5, 6, 6]
    assert torch.allclose(spelled(tokens, rarities, 5)[1], torch.tensor([0.1, 0.1, 0.1, 2.0, 2.0]))


def test_words_is_least_where_each_embedding_is_its_word(model_and_batch, monkeypatch):
    """Embeddings that are the captions' word vectors cost next to nothing, in that order only."""
    model, batch = model_and_batch
    vectors, (each,) = (
        model.word_vectors.detach(),
        {e.shape[1] for e in model.perceive(**batch).values()},
    )
    rows = [
        (labels[labels != -100], found[labels != -100])
        for labels, found in zip(batch["labels"], rarity(batch["labels"]), strict=True)
    ]
    right = torch.stack([vectors[spelled(*row, each)[0]] for row in rows])
    losses = []
    for embeddings in (right, right.flip(1), right.flip(0)):
        monkeypatch.setattr(
            model, "perceive", lambda embeddings=embeddings, **_: {"image": embeddings}
        )
        losses.append(float(words(model, batch)[0]))
    assert losses[0] < 0.5 * losses[1]
    assert losses[0] < 0.5 * losses[2]


def test_unknown_objective_names_the_known():
    with pytest.raises(PolysenseError, match="Known: caption, contrast, match, next_token, words"):
        objective_named("contrast+matching")
    with pytest.raises(PolysenseError, match="only contrast, match, caption can be added up"):
        objective_named("contrast+words")
