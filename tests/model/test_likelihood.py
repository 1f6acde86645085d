"""Likelihoods over a prefix tree equal plain ones; ranks and priors are as defined."""

import pytest
import torch
from fixtures.tiny_model import save_llm
from transformers import AutoModelForCausalLM, AutoTokenizer

from polysense.model import likelihood
from polysense.model.likelihood import (
    PrefixTree,
    caption_ids,
    equally_long,
    likelihoods,
    pmi_scores,
    ranks,
)
from polysense.model.llm.capabilities import LLMCapabilities


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = save_llm(tmp_path_factory.mktemp("llm"))
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def test_captions_end_in_end_of_text(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_llm(tmp_path))
    circle, nothing = caption_ids(tokenizer, ["A red circle.", ""])
    assert tokenizer.decode(circle[:-1]) == "A red circle."
    assert circle[-1:] == nothing == [tokenizer.eos_token_id]


@pytest.mark.parametrize("reach", [None, 2, 8, 10])
@pytest.mark.parametrize(("nodes", "trees"), [(1, True), (4, True), (100, True), (1, False)])
def test_likelihoods_equal_a_plain_forward_pass(llm, nodes, trees, reach, monkeypatch):
    prompts = llm.get_input_embeddings()(torch.tensor([[5, 9, 11], [6, 2, 8]])).detach()
    captions = [[20, 21, 1], [7, 1], [20, 21, 32, 33, 1], [1], [20, 21, 32, 1], [21, 21, 1]]
    monkeypatch.setattr(likelihood, "NODES", nodes)
    lengths = []
    hook = llm.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    found = likelihoods(llm, prompts, captions, LLMCapabilities(None, trees, reach, None))
    hook.remove()
    if reach in (8, 10):
        assert max(lengths) <= reach
    if (nodes, trees, reach) == (100, True, None):
        assert lengths == [3 + 7]  # all in one pass
    assert found.shape == (2, 6)
    for caption, column in zip(captions, found.T, strict=True):
        words = llm.get_input_embeddings()(torch.tensor([caption] * 2))
        with torch.inference_mode():
            logits = llm(inputs_embeds=torch.cat([prompts, words], dim=1)).logits[:, 2:-1]
        expected = logits.log_softmax(-1)[:, range(len(caption)), caption].sum(dim=1)
        assert torch.allclose(column, expected, atol=1e-4)


def test_prompts_of_one_length_go_together():
    assert equally_long([7, 5, 7, 7, 5], 2) == [[0, 2], [3], [1, 4]]
    assert equally_long([], 2) == []


def test_what_captions_begin_with_in_common_is_run_once():
    tree = PrefixTree()
    for caption in ([5, 6, 7, 0], [5, 6, 8, 0], [9, 0]):
        tree.add(caption)
    assert tree.tokens == [5, 6, 7, 8, 9]
    assert tree.parents == [-1, 0, 1, 1, -1]
    assert tree.paths == [[0, 1, 2], [0, 1, 3], [4]]
    assert tree.sees().sum(dim=1).tolist() == [1, 2, 3, 3, 1]


def test_ranks_count_ties_against_the_truth():
    scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    assert ranks(scores, [2, 0]).tolist() == [2, 2]


def test_ranks_put_what_is_no_number_last():
    nan = float("nan")
    scores = torch.tensor([[nan, 1.0, 2.0], [0.0, nan, -1.0], [nan, nan, nan]])
    assert ranks(scores, [0, 0, 1]).tolist() == [3, 2, 3]


def test_without_prior_removes_what_every_picture_shares():
    own = torch.eye(4) * 2
    prior = torch.tensor([0.0, 50.0, -3.0, 9.0])
    found = pmi_scores(own + prior)
    assert torch.allclose(found, pmi_scores(own), atol=1e-4)
    assert ranks(found, range(4)).tolist() == [1, 1, 1, 1]


def test_the_prior_is_a_mean_over_signals():
    """Where all signals say the same of a caption, nothing is left of it."""
    assert pmi_scores(torch.tensor([[-3.0, -5.0], [-3.0, -5.0]])).abs().max() < 1e-6
    found = pmi_scores(torch.tensor([[0.5], [0.25]]).log())
    torch.testing.assert_close(found, torch.tensor([[0.5 / 0.375], [0.25 / 0.375]]).log())


def test_a_caption_has_no_special_tokens_but_its_end():
    class Words:
        eos_token_id = 9

        def __call__(self, text, add_special_tokens):
            return {"input_ids": [1, *range(len(text))] if add_special_tokens else [4, 5]}

    assert caption_ids(Words(), ["A."]) == [[4, 5, 9]]
