"""Scores as people read them."""

import pytest

from polysense.evaluation.number_format import percent, score
from polysense.evaluation.result import CIDER, FOUND, NAMED


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (NAMED, 0.534, "53 %"),
        (FOUND, 1.0, "100 %"),
        (CIDER, 1.2346, "123.5"),
        ("BLEU-1", 0.5, "50.0"),
        ("median rank", 3.5, "3.5"),
        ("median rank, prior-corrected (PMI)", 12.0, "12"),
        (NAMED, None, "-"),
        (CIDER, None, "-"),
    ],
)
def test_a_score_is_written_by_its_name(name, value, text):
    assert score(name, value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_shares_do_not_break():
    assert percent(0.5) == "50\N{NO-BREAK SPACE}%"
    assert percent(None) == "-"
