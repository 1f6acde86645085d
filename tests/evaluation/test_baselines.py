"""The nearest neighbour by the cosine of cached features; copies of training samples go."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from polysense.data.datasets import Record
from polysense.evaluation.baselines import Compared, are_equal, compared, nearest, vector
from polysense.modalities import ImageModality
from polysense.types import Media


class Known:
    """A cache whose features are given: {file: vector}; view 0 is asked for only."""

    def __init__(self, features):
        self.features = features
        self.model = SimpleNamespace(modalities={"image": ImageModality(size=8)})

    def view(self, media, index):
        assert index == 0, "an augmented view is no measure"
        return torch.tensor(self.features[media.source])


def record(*files):
    name = "+".join(str(file) for file in files)
    return Record(name, tuple(Media("image", str(file)) for file in files), f"Caption of {name}.")


def test_the_neighbour_is_by_cosine_and_not_by_product():
    cache = Known({"own": [3.0, 1.0], "alike": [0.3, 0.1], "long": [40.0, 40.0], "off": [0.0, 9.0]})
    found = nearest(cache, [record("long"), record("alike"), record("off")], [record("own")])
    assert [(near.key, pytest.approx(cosine)) for near, cosine in found] == [("alike", 1.0)]
    assert torch.allclose(vector(cache, record("long")), torch.full((2,), 0.5**0.5))


def test_of_two_signals_each_counts_equally():
    cache = Known({"a": [1.0, 0.0], "b": [0.0, 1.0], "large b": [0.0, 90.0], "c": [0.6, 0.8]})
    ((near, cosine),) = nearest(
        cache, [record("a", "b"), record("c", "c")], [record("a", "large b")]
    )
    assert near.key == "a+b"
    assert cosine == pytest.approx(1)
    ((_, cosine),) = nearest(cache, [record("c", "c")], [record("a", "b")])
    assert cosine == pytest.approx((0.6 + 0.8) / 2)


def test_without_training_records_there_is_none():
    assert nearest(Known({}), [], [record("a")]) == []
    assert compared(Known({}), [], [record("a")]) == Compared([record("a")], [])


def test_equal_signals_may_stand_in_any_order_but_each_in_its_modality(tmp_path):
    for name in ("red", "blue"):
        Image.new("RGB", (12, 12), name).save(tmp_path / f"{name}.png")
    red, blue = str(tmp_path / "red.png"), str(tmp_path / "blue.png")
    modalities = dict.fromkeys(("image", "depth"), ImageModality(size=8))
    assert are_equal(modalities, record(red, blue), record(blue, red))
    assert not are_equal(modalities, record(red, blue), record(red, red))

    def mixed(image, depth):
        return Record("mixed", (Media("image", image), Media("depth", depth)), "A.")

    assert not are_equal(modalities, mixed(red, blue), mixed(blue, red))


def test_a_copy_of_a_training_sample_is_left_out_and_one_that_only_looks_alike_is_not(tmp_path):
    for name, colour in (("red", "red"), ("copy", "red"), ("dark", "darkred"), ("far", "blue")):
        Image.new("RGB", (12, 12), colour).save(tmp_path / f"{name}.png")
    red, copy, dark, far = (record(tmp_path / f"{n}.png") for n in ("red", "copy", "dark", "far"))
    alike = {r.media[0].source: [1.0, 1.0] for r in (red, copy, dark)}
    cache = Known({**alike, far.media[0].source: [1.0, -1.0]})
    found = compared(cache, [red], [copy, dark, far])
    assert found.records == [dark, far]
    assert found.neighbours == [red.caption] * 2
    assert found.overlapping == (f"{copy.key} is {red.key}",)
    assert compared(cache, [far, red], [copy]) == Compared([], [], found.overlapping)
