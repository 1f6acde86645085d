"""Pairs become groups; the first member names a group."""

import pytest

from polysense.data.duplicates.groups import groups_joined


@pytest.mark.parametrize("pairs", [[(0, 3), (3, 1)], [(1, 3), (0, 1)], [(1, 0), (3, 0), (0, 0)]])
def test_groups_that_share_a_member_are_one(pairs):
    assert groups_joined(pairs, 5) == [0, 0, 2, 0, 4]
    assert groups_joined([(3, 4), (0, 4)], 5) == [0, 1, 2, 0, 0]


def test_nothing_is_joined_without_pairs():
    assert groups_joined([], 2) == [0, 1]
    assert groups_joined([], 0) == []
