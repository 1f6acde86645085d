"""The head noun of real captions of the laptop data."""

import pytest

from polysense.evaluation.scoring.head_noun import head_noun, same_noun


@pytest.mark.parametrize(
    ("caption", "noun"),
    [
        ("A brown hen.", "hen"),
        ("A bunch of grapes.", "grape"),
        ("The baby of a gnu.", "baby"),
        ("Some blueberries.", "blueberry"),
        ("A pair of closed scissors.", "scissor"),
        ("Mercury, the planet closest to the Sun.", "mercury"),
        ("A Canadian goose flying.", "goose"),
        ('"School Crossing".', "crossing"),
        ("A dumper. It carries its load in the front.", "dumper"),
        ("Two mice.", "mouse"),
        ("Two boxes.", "box"),
        ("Some tomatoes.", "tomato"),
        ("A cloud of gas.", "cloud"),
        ("Gas.", "gas"),
        ("A cactus.", "cactus"),
        ("An iris.", "iris"),
        ("Flying birds.", "bird"),
        ("A flying goose.", "goose"),
        ("A bus with people in it.", "bus"),
        ("", ""),
        ("...", ""),
    ],
)
def test_head_noun(caption, noun):
    assert head_noun(caption) == noun


def test_same_noun_is_about_nouns_not_words():
    assert same_noun("A small red apple.", "Two apples on a table")
    assert not same_noun("A dog house.", "A dog.")
    assert not same_noun("", "")
