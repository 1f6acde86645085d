"""Resampling keeps what the new rate can show, drops what it cannot, and makes nothing up."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.transforms.resample import Recording, resample


def wave(hertz, rate, seconds, channels=2):
    times = np.arange(round(rate * seconds)) / rate
    return Recording(np.stack([np.sin(2 * np.pi * hertz * times)] * channels, axis=1), times)


def test_the_same_rate_and_length_is_untouched():
    recording = wave(3, 200, 2)
    found = resample(recording, 400, 200.0, "centre", "it")
    assert np.allclose(found, recording.readings, atol=1e-12)


@pytest.mark.parametrize("rate", [50, 100, 173.3, 400, 1000, 8000])
@pytest.mark.parametrize("start", ["begin", "centre"])
def test_a_slow_wave_survives_every_rate(rate, start):
    recording = wave(2, rate, 6)
    found = resample(recording, 400, 200.0, start, "it")
    first = 0.0 if start == "begin" else np.arctan2(*_phase(found[:, 0], 2)) / (4 * np.pi)
    expected = np.sin(2 * np.pi * 2 * (first + np.arange(400) / 200))
    assert np.abs(found[:, 0] - expected).max() < (0.02 if rate >= 100 else 0.1)


def _phase(values, hertz):
    times = np.arange(len(values)) / 200
    sine, cosine = (f(2 * np.pi * hertz * times) @ values for f in (np.sin, np.cos))
    return cosine, sine


def test_a_wave_too_fast_for_the_new_rate_vanishes_instead_of_coming_back_slow():
    found = resample(wave(190, 1000, 4), 400, 200.0, "centre", "it")  # would alias to 10 Hz
    assert np.abs(found[20:-20]).max() < 0.01
    assert np.abs(wave(190, 1000, 4).readings[::5]).max() > 0.9


def test_centre_is_the_centre_and_begin_the_beginning():
    ramp = Recording(np.arange(1001.0)[:, None], np.arange(1001) / 200)
    assert resample(ramp, 400, 200.0, "begin", "it")[[0, -1], 0] == pytest.approx([0, 399])
    assert resample(ramp, 400, 200.0, "centre", "it")[[0, -1], 0] == pytest.approx([300, 699])


def test_a_short_recording_keeps_its_edges():
    ramp = Recording(np.arange(1.0, 101)[:, None], np.arange(100) / 200)
    begin = resample(ramp, 400, 200.0, "begin", "it")[:, 0]
    centre = resample(ramp, 400, 200.0, "centre", "it")[:, 0]
    assert begin[:100] == pytest.approx(np.arange(1, 101))
    assert set(begin[100:]) == {100}
    assert np.allclose(centre[:149], 1)
    assert np.allclose(centre[-149:], 100)


def test_uneven_times_are_used_as_they_are():
    times = np.sort(np.random.default_rng(0).uniform(0, 4, 800))
    found = resample(Recording(times[:, None] * 10, times), 100, 50.0, "begin", "it")[:, 0]
    assert np.abs(np.diff(found)[5:-5] - 0.2).max() < 0.02


def test_few_missing_readings_are_interpolated_and_many_refused():
    recording = wave(2, 200, 2)
    recording.readings[50:55, 1] = np.nan
    recording.readings[60, 1] = np.inf
    found = resample(recording, 400, 200.0, "centre", "it")
    assert np.abs(found[:, 1] - found[:, 0]).max() < 0.01
    recording.readings[100:150, 1] = np.nan
    with pytest.raises(PolysenseError, match="14% of the readings of channel 1 are missing"):
        resample(recording, 400, 200.0, "centre", "it")


def test_a_pause_in_the_window_is_refused_and_one_outside_is_not():
    recording = wave(2, 200, 10)
    kept = (recording.times < 5) | (recording.times > 5.4)
    paused = Recording(recording.readings[kept], recording.times[kept])
    assert np.isfinite(resample(paused, 400, 200.0, "begin", "it")).all()
    with pytest.raises(PolysenseError, match=r"pauses for 0\.4\d s"):
        resample(paused, 400, 200.0, "centre", "it")


@pytest.mark.parametrize("count", [0, 1])
def test_one_reading_is_no_recording(count):
    with pytest.raises(PolysenseError, match=f"{count} readings; at least 2"):
        resample(Recording(np.zeros((count, 6)), np.zeros(count)), 400, 200.0, "centre", "it")


def test_two_readings_and_bursts_of_a_nanosecond_end():
    found = resample(Recording(np.ones((2, 6)), np.array([0, 1e-9])), 400, 200.0, "centre", "it")
    assert np.allclose(found, 1)
    times = np.concatenate([np.arange(100) * 1e-9, [0.1]])
    assert np.isfinite(
        resample(Recording(np.ones((101, 6)), times), 400, 200.0, "begin", "it")
    ).all()
