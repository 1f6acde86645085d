"""Simulated brain activity: the same every time, different noise a repeat, its picture in it."""

import numpy as np
import pytest

from polysense.data.datasets import is_held_out
from polysense.recipes.datasets import fmri as brain
from polysense.recipes.datasets.manifest_lines import HELD_OUT


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)


def test_it_is_deterministic_and_repeats_differ(features):
    keys = [f"picture {n}" for n in range(6)]
    answers = brain.simulate(features, keys, 2)
    assert answers.shape == (6, 2, brain.VOXELS)
    assert answers.dtype == np.float32
    assert (answers == brain.simulate(features, keys, 2)).all()
    assert np.abs(answers[:, 0] - answers[:, 1]).min(axis=1).max() < 1
    assert (answers[:, 0] != answers[:, 1]).mean() > 0.99


def test_repeats_of_a_picture_agree_more_than_pictures_do(features):
    answers = brain.simulate(features, [str(n) for n in range(6)], 2)
    first, second = answers[:, 0], answers[:, 1]
    agreement = np.corrcoef(first, second)[:6, 6:]
    assert np.diag(agreement).min() > 0.35
    assert (agreement.argmax(axis=1) == np.arange(6)).all()
    assert np.diag(agreement).max() < 0.95  # the noise is there


def test_the_response_is_late_and_dips_below_rest():
    course = brain.haemodynamic_response(np.arange(0, 30, 0.1))
    assert course.max() == 1
    assert 4.5 < course.argmax() / 10 < 5.5
    assert 12 < course.argmin() / 10 < 18
    assert course.min() < -0.05


def test_kinds_are_chosen_by_folder_up_to_a_limit():
    stamps = [{"key": f"animals/birds/{n}.png"} for n in range(30)]
    stamps += [{"key": "animals/birdsnest.png"}, {"key": "town/houses/cartoon/a.png"}]
    chosen = brain.choose_pictures(stamps)
    kinds = [kind for _, kind in chosen]
    assert kinds.count("bird") == brain.PICTURES
    assert [line["key"] for line, kind in chosen if kind == "house"] == [
        "town/houses/cartoon/a.png"
    ]
    assert len(chosen) == brain.PICTURES + 1


def test_the_choice_does_not_prefer_what_is_held_out():
    stamps = [{"key": f"{folder}/{n}.png"} for folder in brain.KINDS for n in range(200)]
    chosen = brain.choose_pictures(stamps)
    share = np.mean([is_held_out(line["key"], HELD_OUT) for line, _ in chosen])
    assert share == pytest.approx(HELD_OUT, abs=0.06)
