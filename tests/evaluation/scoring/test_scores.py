"""Scores of captions and rankings against values worked out by hand."""

import pytest
import torch

from polysense.evaluation.scoring.scores import (
    are_labels,
    caption_metrics,
    is_right,
    retrieval_metrics,
    rotations,
)

SORTED = ["A bell."] * 5 + ["A drum."] * 5  # as manifests often are: class after class


def named(metrics):
    return {metric.name: metric for metric in metrics}


def test_perfect_labels_beside_chance():
    found = named(caption_metrics(SORTED, SORTED, SORTED[::-1], labels=True))
    label = found["label accuracy"]
    assert label.model == 1
    assert label.neighbour == 0
    assert label.shuffled == pytest.approx(4 / 9, abs=0.06)  # another sample of the same class
    assert found["BLEU-1"].model == pytest.approx(1, abs=1e-6)


def test_label_accuracy_is_of_senses_with_few_captions_only():
    assert "label accuracy" not in named(caption_metrics(SORTED, SORTED, [], labels=False))
    assert are_labels(SORTED)
    assert not are_labels([f"Thing {i}." for i in range(5)] * 2)
    assert are_labels([f"Thing {i}." for i in range(4)] + ["thing 0"] * 6)  # written otherwise


def test_what_counts_as_right():
    assert is_right("a loud  BELL", "A loud bell.", labels=True)
    assert not is_right("A quiet bell.", "A loud bell.", labels=True)
    assert is_right("A quiet bell.", "A loud bell.", labels=False)
    assert not is_right("", "A loud bell.", labels=True)


def test_without_a_neighbour_or_others_there_is_no_baseline():
    single = named(caption_metrics(["A bell."], ["A bell."], [], labels=False))
    assert single["head-noun accuracy"].model == 1
    assert single["head-noun accuracy"].shuffled is None
    assert single["head-noun accuracy"].neighbour is None


def test_retrieval_of_a_perfect_ranking():
    found = named(retrieval_metrics("", torch.eye(10), list(range(10))))
    assert found["retrieval top-1"].model == 1
    assert found["retrieval top-1"].shuffled == 0
    assert found["median rank"].model == 1
    # All other captions are as likely as one another; ties count against.
    assert found["median rank"].shuffled == 10
    assert found["retrieval top-5"].model == 1


def test_top_five_of_five_captions_is_left_out():
    found = named(retrieval_metrics(", prior removed", torch.eye(5), [0, 1, 2, 3, 4]))
    assert list(found) == ["retrieval top-1, prior removed", "median rank, prior removed"]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9, 60])
def test_rotations_never_pair_a_sample_with_itself(count):
    shifts = rotations(count)
    assert len(shifts) == len(set(shifts)) == max(0, min(8, count - 1))
    assert all(1 <= shift < count for shift in shifts)
