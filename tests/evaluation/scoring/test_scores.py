"""Scores of captions and rankings against values worked out by hand."""

import math

import pytest
import torch

from polysense.evaluation.result import CIDER, LABEL, NOUN
from polysense.evaluation.scoring.captioning import bleu, cider
from polysense.evaluation.scoring.scores import (
    are_labels,
    caption_metrics,
    is_right,
    retrieval_metrics,
)

SORTED = ["A bell."] * 5 + ["A drum."] * 5  # as manifests often are: class after class


def named(metrics):
    return {metric.name: metric for metric in metrics}


def values(metric):
    return metric.model, metric.shuffled, metric.neighbour


def test_captions_by_hand():
    """Four samples, three captions. Strangers of the two bells are the drum and the horn."""
    reference = ["A loud bell.", "A loud bell.", "A red drum.", "A big horn."]
    said = ["a loud bell", "A soft bell.", "A red drum.", "A loud bell."]
    near = ["A loud bell.", "A red drum.", "A red drum.", "A small horn."]
    found = named(caption_metrics(said, reference, near, labels=True))
    assert list(found) == [LABEL, NOUN, CIDER, "BLEU-1"]  # nobody said four words
    # Of 3 turns of 4 samples, only "A loud bell." of the horn meets bells: in two of its three.
    assert values(found[LABEL]) == pytest.approx((2 / 4, 2 / 12, 2 / 4))
    assert values(found[NOUN]) == pytest.approx((3 / 4, 2 / 12, 3 / 4))
    expected = cider(said, [[caption] for caption in reference])  # not the other way round
    assert found[CIDER].model == pytest.approx(sum(expected) / 4)
    assert found[CIDER].neighbour == pytest.approx(
        sum(cider(near, [[caption] for caption in reference])) / 4
    )
    # 9 of 12 words are right: "soft" is wrong, and two of "a loud bell" for "a big horn".
    assert found["BLEU-1"].model == pytest.approx(9 / 12)


def test_perfect_labels_are_never_met_again_in_shuffled_captions():
    found = named(caption_metrics(SORTED, SORTED, SORTED[::-1], labels=True))
    assert values(found[LABEL]) == (1, 0, 0)
    assert found["BLEU-1"].model == pytest.approx(1, abs=1e-6)
    assert found["BLEU-1"].shuffled == pytest.approx(0.5, abs=1e-6)  # "a"


def test_exact_match_is_of_modalities_with_few_captions_only():
    assert LABEL not in named(caption_metrics(SORTED, SORTED, [], labels=False))
    assert are_labels(SORTED)
    assert not are_labels([f"Thing {i}." for i in range(5)] * 2)
    assert are_labels([f"Thing {i}." for i in range(4)] + ["thing 0"] * 6)  # written otherwise


def test_four_words_are_counted_where_most_captions_have_them():
    short, long = "A bell.", "A bell in a tower."
    assert "BLEU-4" in named(caption_metrics([long] * 2, [long, short], [], labels=False))
    said, true = ["A bell in a red tower.", long], [long, "A drum in a tower."]
    found = named(caption_metrics(said, true, [], labels=False))
    expected = bleu(said, [[caption] for caption in true])
    assert [found[f"BLEU-{k}"].model for k in (1, 4)] == [expected[0], expected[3]]
    assert len(set(expected)) == 4
    mostly = named(caption_metrics([long] * 3, [long, short, short], [], labels=False))
    assert "BLEU-4" not in mostly


def test_what_counts_as_right():
    assert is_right("a loud  BELL", "A loud bell.", labels=True)
    assert not is_right("A quiet bell.", "A loud bell.", labels=True)
    assert is_right("A quiet bell.", "A loud bell.", labels=False)
    assert not is_right("", "A loud bell.", labels=True)


def test_one_sample_has_no_score():
    single = caption_metrics(["A bell."], ["A bell."], ["A bell."], labels=True)
    ranked = retrieval_metrics("", torch.zeros(1, 4), [2])
    assert {values(metric) for metric in (*single, *ranked)} == {(None, None, None)}


def test_without_a_neighbour_or_strangers_there_is_no_baseline():
    same = named(caption_metrics(["A bell."] * 3, ["A bell.", "a bell", "A BELL"], [], labels=True))
    assert values(same[LABEL]) == (1, None, None)
    assert {values(metric) for metric in retrieval_metrics("", torch.zeros(3, 1), [0] * 3)} == {
        (None, None, None)
    }


def test_retrieval_by_hand():
    """Ranks of the truth are 1, 2 and 3; the first two samples share a caption."""
    scores = torch.tensor([[3.0, 2.0, 1.0], [2.0, 3.0, 1.0], [3.0, 2.0, 1.0]])
    found = named(retrieval_metrics("", scores, [0, 0, 2]))
    assert list(found) == ["recall@1", "median rank"]
    # Strangers: of the first two the third's caption (rank 3), of the third the first (rank 1).
    assert values(found["recall@1"]) == pytest.approx((1 / 3, 1 / 3, None))
    assert values(found["median rank"]) == (2, 3, None)


def test_the_median_is_no_mean():
    """Ranks of the truth are 1, 1 and 4; those of the strangers 2, 4, 1 and 4, 2, 2."""
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0], [3.0, 4.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    (_, rank) = retrieval_metrics("", scores, [0, 1, 3])
    assert rank.model == 1
    assert rank.shuffled == 2


def test_retrieval_of_a_perfect_ranking():
    found = named(retrieval_metrics("", torch.eye(10), list(range(10))))
    assert values(found["recall@1"]) == (1, 0, None)
    assert values(found["recall@5"]) == (1, 0, None)
    # All other captions are as likely as one another; ties count against.
    assert values(found["median rank"]) == (1, 10, None)


def test_recall_at_five_of_five_captions_is_left_out():
    found = named(retrieval_metrics(", corrected", torch.eye(5), [0, 1, 2, 3, 4]))
    assert list(found) == ["recall@1, corrected", "median rank, corrected"]


def test_recall_at_five_counts_the_fifth_and_not_the_sixth():
    falling = torch.arange(8.0, 0, -1).expand(2, -1)
    found = named(retrieval_metrics("", falling, [4, 5]))
    assert found["recall@5"].model == 1 / 2
    assert found["recall@5"].shuffled == 1 / 2


def test_likelihoods_that_are_no_numbers_have_no_score():
    scores = torch.eye(6)
    scores[2, 3] = math.nan
    found = retrieval_metrics("", scores, list(range(6)))
    assert {values(metric) for metric in found} == {(None, None, None)}
