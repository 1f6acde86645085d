"""The Q-Former's text side: what each head may see, found by changing one thing at a time."""

import pytest
import torch
from torch import nn

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.connectors.build import build_connector
from polysense.model.connectors.qformer import QFormer, QFormerBranch, attention_mode_mask
from polysense.model.connectors.qformer_pretraining import QFormerPretrainingBranch, similarity

QUERIES, VOCABULARY = 3, 30


def build():
    torch.manual_seed(1)
    former = QFormer(10, 16, layers=4, heads=2, queries=QUERIES, vocabulary=VOCABULARY)
    branch = QFormerPretrainingBranch(
        nn.LayerNorm(10), lambda width: nn.Linear(width, 8), former, contrastive_width=6
    )
    for parameter in branch.former.parameters():
        nn.init.normal_(parameter, std=0.3)
    return branch.eval()


def some():
    features = torch.randn(2, 5, 10)
    ids = torch.randint(1, VOCABULARY, (2, 6))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return features, ids, mask


def influence(function, inputs):
    """Which rows of the gradient of each output position are not zero: [outputs, inputs]."""
    inputs = inputs.detach().requires_grad_(True)
    outputs = function(inputs)
    rows = [torch.autograd.grad(one.sum(), inputs, retain_graph=True)[0] for one in outputs]
    return torch.stack([row.abs().sum(dim=-1) > 1e-8 for row in rows])


def test_a_word_is_guessed_from_the_queries_and_the_words_before():
    """BLIP-2, figure 2, on the right: by gradients to the word vectors of every position."""
    branch = build()
    features, ids, mask = some()
    ids[0] = torch.arange(1, 7)  # all different, so that a word's row is its position's
    embed = branch.former.embed

    def guesses(words):
        branch.former.embed = lambda _: words[None] + 0  # type: ignore[method-assign]
        states = branch.former(branch.feature_norm(features[:1]), ids[:1], mask[:1], "causal")
        return states[0]

    try:
        seen = influence(guesses, embed(ids[:1])[0])
    finally:
        branch.former.embed = embed
    assert not seen[:QUERIES].any()
    assert torch.equal(seen[QUERIES:], torch.ones(6, 6).tril().bool())


def test_words_know_the_signal_through_the_queries_only():
    branch = build()
    features, ids, mask = some()
    with torch.no_grad():
        found = branch.itg_logits(features, ids, mask)
        other = branch.itg_logits(features.flip(2), ids, mask)
        assert found.shape == (2, 6, VOCABULARY)
        assert not torch.allclose(found[0], other[0], atol=1e-3)
        for layer in branch.former.layers:
            layer.cross_attention = None  # the queries look away
        shuffled = [branch.itg_logits(signal, ids, mask) for signal in (features, features.flip(2))]
    assert torch.equal(*shuffled)


def test_queries_are_compared_without_the_text_and_judge_with_it():
    branch = build()
    features, ids, mask = some()
    changed = ids.clone()
    changed[:, 2] = (ids[:, 2] + 1) % VOCABULARY
    with torch.no_grad():
        points, texts = branch.signal_points(features), branch.text_points(ids, mask)
        assert points.shape == (2, QUERIES, 6)
        assert torch.allclose(points.norm(dim=-1), torch.ones(2, QUERIES))
        assert not torch.allclose(texts, branch.text_points(changed, mask), atol=1e-3)
        one = branch.itm_logits(features, ids, mask)
        other = branch.itm_logits(features, changed, mask)
        padded = branch.itm_logits(features, ids * mask, mask)
    assert not torch.allclose(one, other, atol=1e-4)
    assert torch.allclose(one, padded, atol=1e-6)


def test_likeness_is_of_the_best_query():
    signals = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.6, 0.8]]])
    texts = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    expected = torch.tensor([[1.0, 0.0, 1.0], [0.8, 1.0, 0.6]])
    assert torch.allclose(similarity(signals, texts), expected)


def test_a_temperature_learnt_below_zero_turns_nothing_around():
    branch = build()
    assert torch.allclose(branch.scaled_logits(torch.tensor(0.7)), torch.tensor(10.0))
    with torch.no_grad():
        branch.temperature.fill_(-1.0)
    assert branch.scaled_logits(torch.tensor(0.7)) > 0


def test_the_connector_has_it_where_space_is_set():
    sizes = {"width": 16, "heads": 2, "layers": 2, "queries": 3, "vocabulary": VOCABULARY}
    one, other = (
        build_connector(
            ConnectorConfig("qformer", contrastive_width=contrastive_width, **sizes),
            ["image"],
            10,
            8,
            1.0,
        )
        for contrastive_width in (6, None)
    )
    assert isinstance(one.branches["image"], QFormerPretrainingBranch)
    assert type(other.branches["image"]) is QFormerBranch
    assert one(torch.randn(2, 5, 10), "image").shape == (2, 3, 8)
    with pytest.raises(PolysenseError, match="set vocabulary too"):
        build_connector(ConnectorConfig("qformer", contrastive_width=6), ["image"], 10, 8, 1.0)


@torch.no_grad()
def test_a_caption_is_the_point_of_its_first_word():
    branch = build()
    _, ids, mask = some()
    states = branch.former(None, ids, mask)
    first = branch.text_projection(states[:, 0])
    expected = first / first.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(branch.text_points(ids, mask), expected)


def test_queries_and_text_see_what_the_mode_says():
    """Two queries before two words, of which the last is padding."""
    mask = torch.tensor([[1, 0]])
    queries, word, padding = [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]
    expected = {
        "separate": [queries, queries, [0, 0, 1, 0], [0, 0, 1, 1]],
        "joint": [word, word, word, [1, 1, 1, 1]],
        "causal": [queries, queries, word, [1, 1, 1, 1]],
    }
    for mode, rows in expected.items():
        assert attention_mode_mask(mode, 2, mask)[0, 0].int().tolist() == rows, (mode, padding)


@torch.no_grad()
def test_a_match_is_the_mean_of_the_queries_and_a_guess_sees_no_later_word():
    branch = build()
    features, ids, mask = some()
    states = branch.former(branch.feature_norm(features), ids, mask, "joint")[:, :QUERIES]
    expected = branch.itm_head(states).mean(dim=1)
    torch.testing.assert_close(branch.itm_logits(features, ids, mask), expected)
    later = ids.clone()
    later[:, -1] = ids[:, -1] % (VOCABULARY - 1) + 1
    found = [branch.itg_logits(features, words, mask)[0] for words in (ids, later)]
    torch.testing.assert_close(found[0][:-1], found[1][:-1])
    assert not torch.allclose(found[0][-1], found[1][-1])
