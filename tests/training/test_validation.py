"""The held-out loss is that of the samples, the shuffled one that of their neighbours' signals."""

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image

from polysense.config import Stage
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.training.run import build, resolve
from polysense.training.validation import can_be_shuffled, probe_batches, validation_losses
from polysense.types import Batch, Media, Message, Sample, Text

STAGE = Stage("s", ("connector",), batch_size=4)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return build(resolve(tiny_config(tmp_path_factory.mktemp("parts"))))


def a_sample(number, *colours, words="A line."):
    pictures = [Media("image", Image.new("RGB", (20, 20), colour)) for colour in colours]
    question = Message("user", (*pictures, Text("What? " * (number + 1))))
    return Sample(f"s{number}", (question, Message("assistant", (Text(words),))))


def data_of(parts, *samples):
    return TrainingData(samples, parts[1], "template", None)


def losses_of(parts, *samples, stage=STAGE):
    return validation_losses(parts[0], data_of(parts, *samples), torch.float32, stage)


@torch.inference_mode()
def loss_of(parts, sample):
    model, data = parts[0].eval(), data_of(parts, sample)
    return float(model(**data.batch([SampleIndex(0, 0)])).loss)


def test_a_lone_sample_has_its_own_loss_and_no_blind_one(parts):
    sample = a_sample(0, "red")
    found = losses_of(parts, sample)
    assert found.true == pytest.approx(loss_of(parts, sample), rel=1e-5)
    assert found.shuffled is None


def test_text_alone_has_no_blind_loss(parts):
    found = losses_of(parts, a_sample(0), a_sample(1))
    assert found.true > 0
    assert found.shuffled is None


def test_a_loss_that_compares_samples_says_nothing_of_one(parts):
    found = losses_of(parts, a_sample(0, "red"), stage=Stage("s", ("connector",), objective="itm"))
    assert (found.true, found.shuffled) == (None, None)


def test_the_blind_loss_is_that_of_the_neighbours_signals(parts):
    colours = ("red", "green", "blue")
    texts = [f"A {colour} line." for colour in colours]
    own = [a_sample(n, colours[n], words=texts[n]) for n in range(3)]
    moved = [a_sample(n, colours[n - 1], words=texts[n]) for n in range(3)]
    found, other = losses_of(parts, *own), losses_of(parts, *moved)
    assert found.shuffled == pytest.approx(other.true, rel=1e-5)
    assert found.true != pytest.approx(other.true, rel=1e-5)


class Cache:
    """Features of three pictures, by their colours; notes which views are asked for."""

    encoded = frozenset({"image"})

    def __init__(self):
        self.views = []

    def by_modality(self, media, view):
        self.views.append(view)
        colours = (("red", "green", "blue").index(one.source) for one in media)
        return {"image": [torch.eye(16)[4 * colour : 4 * colour + 4] for colour in colours]}


def test_features_of_the_cache_are_those_of_the_signals_themselves_and_shuffled_too(parts):
    colours, cache = ("red", "green", "blue"), Cache()

    def cached(turn):
        samples = [
            Sample(s.key, (Message("user", (Media("image", colours[n - turn]),)), s.messages[1]))
            for n, s in enumerate(a_sample(n, words=f"A {colours[n]} line.") for n in range(3))
        ]
        data = TrainingData(samples, parts[1], "template", cache)
        return validation_losses(parts[0], data, torch.float32, STAGE)

    own, moved = cached(0), cached(1)
    assert own.shuffled == pytest.approx(moved.true, rel=1e-5)
    assert own.true != pytest.approx(moved.true, rel=1e-5)
    assert cache.views == [0] * 6


def test_a_batch_of_one_is_shuffled_all_the_same(parts):
    samples = [a_sample(n, colour) for n, colour in enumerate(("red", "blue"))]
    single = Stage("s", ("connector",), batch_size=1)
    assert losses_of(parts, *samples, stage=single) == losses_of(parts, *samples)


def test_a_batch_is_shuffled_where_every_modality_has_two_signals():
    def batch(images, recordings):
        signals = {"image": torch.zeros(images, 3), "imu": torch.zeros(recordings, 6)}
        return Batch(signals=signals, features={})

    assert can_be_shuffled(batch(2, 3))
    assert not can_be_shuffled(batch(2, 1))
    assert not can_be_shuffled(batch(1, 2))
    assert not can_be_shuffled(Batch(signals={}, features={}))


def test_a_lone_signal_among_others_does_not_count_as_blind(parts):
    """Two pictures and a pair of them: the pair is of no other modality, but stands alone."""
    found = losses_of(parts, a_sample(0, "red", words="Red."), a_sample(1, "blue"), a_sample(2))
    pair = losses_of(parts, a_sample(0, "red", words="Red."), a_sample(1, "blue"))
    assert found.shuffled == pytest.approx(pair.shuffled, rel=1e-5)


def test_no_batch_is_of_one_sample_and_neighbours_have_other_texts(parts):
    data = data_of(parts, *(a_sample(n, "red") for n in range(5)), a_sample(6), a_sample(7))
    batches = list(probe_batches(data, 2))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert all(len(batch) >= 2 for batch in batches)
    words = ["One.", "One.", "Two.", "Two."]
    data = data_of(parts, *(a_sample(0, "red", words=said) for said in words))
    assert list(probe_batches(data, 8)) == [[0, 2, 1, 3]]
