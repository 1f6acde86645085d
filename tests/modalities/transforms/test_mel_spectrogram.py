"""The log-mel spectrogram is Kaldi's, number by number."""

import numpy as np
import pytest

from polysense.modalities.transforms.mel_spectrogram import FLOOR, log_mel, samples_of


def kaldi(waveform, rate, bins):
    """Kaldi's fbank from its published formulas, in loops and float64: [bins, frames]."""
    length, step = rate * 25 // 1000, rate * 10 // 1000
    points = 1
    while points < length:
        points *= 2

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    low, high = mel(20), mel(rate / 2)
    edges = [low + (high - low) * index / (bins + 1) for index in range(bins + 2)]
    columns = []
    for start in range(0, len(waveform) - length + 1, step):
        frame = np.asarray(waveform[start : start + length], np.float64)
        frame = frame - frame.sum() / length
        emphasised = [frame[0] * (1 - 0.97)]
        emphasised += [frame[t] - 0.97 * frame[t - 1] for t in range(1, length)]
        window = [0.5 - 0.5 * np.cos(2 * np.pi * t / (length - 1)) for t in range(length)]
        windowed = np.array(emphasised) * np.array(window)
        times = np.arange(length)
        power = [
            abs(np.sum(windowed * np.exp(-2j * np.pi * k * times / points))) ** 2
            for k in range(points // 2)
        ]
        column = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            energy = 0.0
            for k, value in enumerate(power):
                at = mel(k * rate / points)
                rising, falling = (at - left) / (centre - left), (right - at) / (right - centre)
                energy += max(0.0, min(rising, falling)) * value
            column.append(np.log(max(energy, 1.1920929e-07)))
        columns.append(column)
    return np.array(columns).T


@pytest.mark.parametrize(("rate", "bins"), [(16_000, 128), (8_000, 40), (22_050, 80)])
def test_every_value_is_kaldis(rate, bins):
    random = np.random.default_rng(0)
    times = np.arange(rate // 12) / rate
    waveform = 0.4 * np.sin(2 * np.pi * (300 + 9000 * times) * times) + 0.1
    waveform += random.normal(0, 0.01, len(times))
    own = log_mel(waveform, rate, bins)
    expected = kaldi(waveform, rate, bins)
    assert own.dtype == np.float32
    assert own.shape == expected.shape
    assert np.abs(own - expected).max() < 1e-4


def test_a_constant_added_changes_nothing():
    waveform = np.random.default_rng(0).normal(0, 0.1, 4000)
    difference = log_mel(waveform, 16_000, 128) - log_mel(waveform - 0.3, 16_000, 128)
    assert np.abs(difference).max() < 1e-3


def test_silence_is_the_floor_and_frames_end_within_the_sound():
    silence = log_mel(np.zeros(16_000), 16_000, 128)
    assert silence.shape == (128, 98)
    assert np.allclose(silence, np.log(FLOOR))
    assert samples_of(98, 16_000) == 15_920
    for samples, frames in ((1, 1), (400, 1), (559, 1), (560, 2)):
        assert log_mel(np.zeros(samples), 16_000, 128).shape == (128, frames)
