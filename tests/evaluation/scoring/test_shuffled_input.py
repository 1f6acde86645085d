"""Strangers have other captions, wherever there are any."""

import pytest

from polysense.evaluation.scoring.shuffled_input import TURNS, strangers


@pytest.mark.parametrize("count", [2, 3, 8, 9, 60])
def test_every_sample_meets_up_to_eight_others(count):
    turns = strangers([str(number) for number in range(count)])
    assert len(turns) == min(TURNS, count - 1)
    for own in range(count):
        met = [turn[own] for turn in turns]
        assert len(set(met)) == len(met)
        assert own not in met
    assert sorted(turns[0]) == list(range(count))  # the first turn is a rotation by one
    assert turns[0][0] == 1


def test_no_stranger_has_the_same_caption_also_where_most_share_it():
    captions = [*"aaaaab"]
    turns = strangers(captions)
    assert len(turns) == 5
    assert all(captions[turn[own]] != captions[own] for turn in turns for own in range(6))
    assert {turn[0] for turn in turns} == {5}
    assert {turn[5] for turn in turns} == {0, 1, 2, 3, 4}


def test_strangers_are_spread_over_all_others():
    met = [turn[0] for turn in strangers(list(range(81)))]
    assert met == [1, 11, 21, 31, 41, 51, 61, 71]


@pytest.mark.parametrize("captions", [[], ["a"], ["a", "a", "a"]])
def test_there_may_be_no_stranger(captions):
    assert strangers(captions) == []
