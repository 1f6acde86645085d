"""Recordings of motion from every kind of source become the same [6, 400]; bad ones are refused."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.modalities.imu import ImuModality

MODALITY = ImuModality()
NAMES = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]


def motion(rate=200, seconds=2.0):
    """A swing about z and a bump on x: readings [T, 6] in m/s^2 and rad/s."""
    times = np.arange(round(rate * seconds)) / rate
    turn = np.sin(2 * np.pi * times)
    still = np.zeros_like(times)
    return np.stack([3 * turn, still, still + 9.81, still, still, 2 * turn], axis=1)


def table(rate=200, seconds=2.0):
    values = motion(rate, seconds)
    return pd.DataFrame(values, columns=NAMES).assign(time=np.arange(len(values)) / rate)


def test_every_source_gives_the_same_signal(tmp_path):
    frame, array = table(), motion()
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", imu=array.T, label=1)
    sources = [
        *tmp_path.iterdir(), str(tmp_path / "a.csv"), frame, array, array.T, torch.tensor(array),
        {"imu": tmp_path / "a.npy", "rate": 200}, {"imu": array, "rate": 200.0},
    ]  # fmt: skip
    first = MODALITY.read(frame)
    assert (first.shape, first.dtype) == ((6, 400), torch.float32)
    for source in sources:
        assert torch.allclose(MODALITY.read(source), first, atol=1e-5)


def test_scales_are_gravity_and_radians_whatever_the_file_is_in():
    signal = MODALITY.read(table())
    assert torch.allclose(signal[2], torch.ones(400))
    assert float(signal[5].max()) == pytest.approx(2, abs=0.01)
    other = table()
    other[NAMES[:3]] /= 9.81
    other[NAMES[3:]] *= 180 / math.pi
    units = ImuModality(accelerometer_unit="g", gyroscope_unit="deg/s")
    assert torch.allclose(units.read(other), signal, atol=1e-5)


def test_a_file_of_50_hz_is_as_long_as_one_of_200(tmp_path):
    table(50, 4).to_csv(tmp_path / "slow.csv", index=False)
    slow = ImuModality(start="begin").read(tmp_path / "slow.csv")
    assert torch.allclose(slow, ImuModality(start="begin").read(table(200, 4)), atol=0.02)
    for source in (motion(50, 4), {"imu": motion(50, 4), "rate": 50}):
        modality = ImuModality(start="begin", source_rate=50)
        assert torch.allclose(modality.read(source), slow, atol=1e-6)


def test_the_rate_of_a_mapping_comes_before_all_others():
    modality = ImuModality(start="begin", source_rate=200)
    expected = ImuModality(start="begin", source_rate=50).read(motion(50, 4))
    for source in (table(50, 4), motion(50, 4)):
        assert torch.equal(modality.read({"imu": source, "rate": 50}), expected)


def test_columns_of_numbers_are_told_apart_by_name_in_any_order():
    frame = table().drop(columns="time")[list(reversed(NAMES))]
    assert torch.equal(MODALITY.read(frame), MODALITY.read(motion()))
    odd = table().rename(columns=dict(zip(NAMES, "pqrstu", strict=True)))
    assert torch.equal(ImuModality(columns=tuple("pqrstu")).read(odd), MODALITY.read(table()))


def test_an_accelerometer_alone_is_refused_unless_allowed():
    frame = table()[["time", *NAMES[:3]]]
    for source in (frame, motion()[:, :3]):
        with pytest.raises(PolysenseError, match="allow_missing_gyroscope"):
            MODALITY.read(source)
        signal = ImuModality(allow_missing_gyroscope=True).read(source)
        assert torch.equal(signal[:3], MODALITY.read(motion())[:3])
        assert not signal[3:].any()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((300, 6)), "does not say its rate"),
        (np.zeros((400, 5)), r"must be \[T, 6\] or \[6, T\], not \[400, 5\]"),
        (np.zeros(6), r"not \[6\]"),
        (np.zeros((1, 400, 6)), r"not \[1, 400, 6\]"),
        (np.full((400, 6), np.nan), "100% of the readings"),
        (np.array([["a"] * 6] * 400), "must hold numbers"),
        ({"imu": motion()}, 'keys "imu" and "rate"'),
        ({"imu": motion(), "rate": -1}, "positive number of Hz"),
        ({"imu": motion(), "rate": "fast"}, "positive number of Hz"),
        (table().assign(acc_x="high"), "'high' in column 'acc_x', row 1, is no number"),
        (table().assign(time=np.arange(400)[::-1] / 200), "do not grow"),
        (table().rename(columns={"gyro_x": "gyro_x (deg/s)"}), "says deg/s"),
        (table().drop(columns="acc_y"), "no column is the y axis of the accelerometer"),
        ("no/such/file.csv", "cannot be read: No such file"),
        (None, "must hold numbers"),
    ],
)
def test_bad_sources_end_in_one_line(source, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        MODALITY.read(source)
    assert "\n" not in str(caught.value)


def test_limits():
    small = ImuModality(max_values=100)
    for source in (motion(), table()):
        with pytest.raises(PolysenseError, match=r"imu\.max_values=100"):
            small.read(source)


@pytest.mark.parametrize(
    "options",
    [
        {"start": "end"},
        {"accelerometer_unit": "ft"},
        {"kernel": 401},
        {"rate": 0},
        {"columns": "ab"},
    ],
)
def test_bad_options(options):
    with pytest.raises(PolysenseError, match=r"imu\."):
        ImuModality(**options)


def test_tokenizer_is_onellms_convolution():
    tokenizer = MODALITY.tokenizer(16)
    weight = tokenizer.state_dict()["convolution.weight"]
    assert list(tokenizer.state_dict()) == ["convolution.weight"]
    signals = torch.randn(2, 6, 400)
    tokens = tokenizer(signals)
    assert tokens.shape == (2, 391, 16)
    assert torch.allclose(tokens.transpose(1, 2), functional.conv1d(signals, weight), atol=1e-6)
    assert ImuModality(samples=100, kernel=5, stride=5).tokenizer(8)(signals[..., :100]).shape == (
        2, 20, 8,
    )  # fmt: skip


def test_augment_turns_both_sensors_alike_and_keeps_lengths():
    signal = MODALITY.read(table())
    views = [MODALITY.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert views[0].shape == signal.shape
    for view in views:
        size = view[:3].mean(dim=1).norm()
        assert 0.85 < float(size) < 1.2  # gravity stays about 1, wherever it points


def test_augment_is_as_strong_as_it_says():
    signal = torch.zeros(6, 400)
    signal[2], signal[5, 200:] = 1.0, 1.0  # upright, and turning from the middle on
    views = [MODALITY.augment(signal, torch.Generator().manual_seed(seed)) for seed in range(150)]
    means = torch.stack([view.mean(dim=1) for view in views])
    sizes = means[:, :3].norm(dim=1)
    assert 0.89 < sizes.min() < 0.92
    assert 1.08 < sizes.max() < 1.11
    tilts = torch.rad2deg(torch.acos(means[:, 2] / sizes))
    assert 10 < tilts.max() < 15.5
    starts = torch.stack([(view[5] > 0.5).float().argmax() for view in views])
    assert 160 <= starts.min() < 170
    assert 230 < starts.max() <= 240
    late = torch.stack([view[3:, 250:].mean(dim=1) for view in views])
    assert torch.allclose(late, means[:, :3], atol=0.01)  # both sensors turn alike
    noise = torch.stack([view[2].std() for view in views]).mean()
    assert noise == pytest.approx(0.02, rel=0.05)


def test_of_equal_times_the_first_reading_counts():
    frame = table().assign(time=np.arange(400) // 2 / 100)
    found = ImuModality(start="begin").read(frame.assign(acc_x=np.arange(400) % 2))
    assert not found[0].any()


def test_picture_draws_the_traces():
    picture = MODALITY.visualize(MODALITY.read(table()))
    assert picture.size == (320, 200)
    assert picture.tobytes() != MODALITY.visualize(MODALITY.example()).tobytes()
    assert MODALITY.example().shape == (6, 400)
    assert MODALITY.caption_prompt == "Describe the motion."


def test_accelerations_may_stay_in_their_unit():
    """As the published OneLLM has them: m/s^2, also where a file is in g."""
    resting = np.zeros((400, 6), dtype=np.float32)
    resting[:, 2] = 1.0
    for unit, factor in (("g", 9.81), ("m/s2", 1.0)):
        modality = ImuModality(accelerometer_unit=unit, acceleration_scale=1.0, check_units=False)
        assert np.allclose(modality.read(resting)[2], factor, atol=1e-4)
    with pytest.raises(PolysenseError, match=r"imu\.acceleration_scale must be positive"):
        ImuModality(acceleration_scale=0.0)
