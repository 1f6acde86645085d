"""BLEU and CIDEr: values worked out by hand from the papers' formulas, and what always holds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysense.evaluation.scoring.captioning import bleu, cider, words


def test_words_drop_punctuation_and_case():
    assert words("A T-rex, with Tux's hat!") == ["a", "t-rex", "with", "tux's", "hat"]


def test_bleu_by_hand():
    # 3 of 4 words and 2 of 3 pairs match; the reference is longer by one word.
    scores = bleu(["a brown dog sleeps"], [["a brown dog is sleeping"]])
    penalty = math.exp(1 - 5 / 4)
    assert scores[0] == pytest.approx(penalty * 3 / 4, rel=1e-6)
    assert scores[1] == pytest.approx(penalty * math.sqrt(3 / 4 * 2 / 3), rel=1e-6)


def test_bleu_clips_repeated_words():
    # Papineni's example: "the" occurs twice in a reference, so two of seven count.
    scores = bleu(["the the the the the the the"], [["the cat is on the mat", "there is a cat"]])
    assert scores[0] == pytest.approx(2 / 7, rel=1e-6)


def test_bleu_takes_the_reference_nearest_in_length():
    short, long = "a b c", "a b c d e f g h"
    assert bleu(["a b c d"], [[short, long]])[0] == pytest.approx(1.0, rel=1e-6)
    penalty = math.exp(1 - 8 / 7)
    assert bleu(["a b c d e f g"], [[short, long]])[0] == pytest.approx(penalty, rel=1e-6)


def test_a_word_of_two_references_may_be_said_as_often_as_in_one():
    assert bleu(["the the"], [["the cat", "the dog"]])[0] == pytest.approx(1 / 2, rel=1e-6)


def test_cider_of_a_perfect_caption_is_ten_and_of_a_stranger_zero():
    reference = [["a brown dog runs fast"], ["two red cats sleep well"], ["the old ship sails on"]]
    scores = cider(
        ["a brown dog runs fast", "green birds sing loudly here", reference[2][0]], reference
    )
    assert scores == pytest.approx([10.0, 0.0, 10.0])


def test_cider_by_hand_for_single_words():
    # Two documents, so idf = log 2 for each word of the first. "dog" against "dog cat": cosine
    # 1/sqrt(2) in order 1, damped by exp(-1/72); orders 2 to 4 are empty.
    found = cider(["dog", "x"], [["dog cat"], ["bird"]])[0]
    assert found == pytest.approx(10 / 4 * math.exp(-1 / 72) / math.sqrt(2))


def test_cider_clips_and_punishes_length():
    reference = [["a red car"], ["some blue boats"]]
    exact = cider(["a red car", "x"], reference)[0]
    repeated = cider(["a red car red car red car", "x"], reference)[0]
    assert repeated < exact / 2


def test_cider_is_the_mean_over_references_and_what_all_say_weighs_nothing():
    said, one = ["a red car", "some boat"], [["a red car"], ["some blue boats"]]
    twice = [group * 2 for group in one]
    assert cider(said, twice) == pytest.approx(cider(said, one))
    assert cider(["red car", "x"], [["red car"], ["red car"]]) == [0, 0]


captions = st.lists(
    st.lists(st.sampled_from("a red dog cat runs in the sun".split()), min_size=4, max_size=9).map(
        " ".join
    ),
    min_size=2,
    max_size=6,
)


@given(captions)
def test_scores_do_not_depend_on_the_order_of_samples(said):
    reference = [[caption[::-1]] for caption in said]
    backwards = cider(said[::-1], reference[::-1])[::-1]
    assert cider(said, reference) == pytest.approx(backwards)
    assert bleu(said, reference) == pytest.approx(bleu(said[::-1], reference[::-1]))


@given(captions)
def test_a_caption_equal_to_its_reference_has_bleu_one(said):
    assert bleu(said, [[caption] for caption in said]) == pytest.approx([1.0] * 4, rel=1e-6)
