"""A sensor's readings, at whatever moments they were taken, become evenly spaced ones.

Missing readings are interpolated while they are few; where the rate falls, a low-pass filter goes
first, so that what is faster than the new rate can show does not come back as something slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polysense.errors import PolysenseError

MISSING = 0.1  # the share of readings, or of the window, that may be missing
PASSED = 0.8  # of the new rate's Nyquist frequency, what the filter lets through


@dataclass(frozen=True)
class Recording:
    """Readings [T, channels] and their times [T] in seconds, strictly growing."""

    readings: np.ndarray
    times: np.ndarray


def resample(
    recording: Recording, samples: int, rate: float, start: Literal["centre", "begin"], name: str
) -> np.ndarray:
    """Return `samples` readings at `rate` Hz from the centre or the beginning: [samples, channels].

    Interpolation is linear; beyond a shorter recording's ends its first and last readings stand.
    Raises PolysenseError where fewer than two readings are given, or too many are missing.
    """
    if len(recording.times) < 2:
        raise PolysenseError(f"{name} has {len(recording.times)} readings; at least 2 are needed")
    wanted = window(recording.times, samples, rate, start)
    part = around(recording, wanted)
    check_gaps(part.times, wanted, name)
    part = Recording(filled(part, name), part.times)
    source_rate = 1 / float(np.median(np.diff(part.times)))
    if source_rate > 1.001 * rate:
        part = smoothed(part, min(source_rate, 100 * rate), rate)
    return interpolated(part, wanted)


def window(
    times: np.ndarray, samples: int, rate: float, start: Literal["centre", "begin"]
) -> np.ndarray:
    """Return the wanted moments [samples]; of a longer recording they begin at one of its own."""
    span = (samples - 1) / rate
    first = float(times[0])
    if start == "centre":
        first = (float(times[0]) + float(times[-1]) - span) / 2
        if first > times[0]:  # between two readings, every wanted one would be a blur of two
            first = float(times[np.searchsorted(times, first + 1e-9, side="right") - 1])
    return first + np.arange(samples) / rate


def around(recording: Recording, wanted: np.ndarray) -> Recording:
    """Cut the readings in the window and half its length beyond, for the filter's sake."""
    margin = (wanted[-1] - wanted[0]) / 2
    first = np.searchsorted(recording.times, wanted[0] - margin)
    last = np.searchsorted(recording.times, wanted[-1] + margin, side="right")
    kept = slice(max(0, first - 1), last + 1)
    return Recording(recording.readings[kept].astype(np.float64), recording.times[kept])


def check_gaps(times: np.ndarray, wanted: np.ndarray, name: str) -> None:
    """Refuse a pause in the window: longer than a tenth of it, and than five usual steps."""
    steps = np.diff(times)
    inside = (times[1:] > wanted[0]) & (times[:-1] < wanted[-1])
    longest = float(steps[inside].max(initial=0))
    if longest > max(MISSING * (wanted[-1] - wanted[0]), 5 * float(np.median(steps))):
        raise PolysenseError(
            f"{name} pauses for {longest:.2f} s in the {wanted[-1] - wanted[0]:.2f} s that are read"
        )


def filled(recording: Recording, name: str) -> np.ndarray:
    """Interpolate missing (NaN or infinite) readings of each channel; too many are an error."""
    present = np.isfinite(recording.readings)
    share = 1 - present.mean(axis=0)
    if share.max() > MISSING:
        raise PolysenseError(
            f"{name}: {share.max():.0%} of the readings of channel {int(share.argmax())} are "
            f"missing (NaN); at most {MISSING:.0%} are interpolated"
        )
    channels = [
        np.interp(recording.times, recording.times[there], channel[there])
        for channel, there in zip(recording.readings.T, present.T, strict=True)
    ]
    return np.stack(channels, axis=1)


def smoothed(recording: Recording, source_rate: float, rate: float) -> Recording:
    """Take away what lies above 0.8 of the new Nyquist frequency: Butterworth, no delay."""
    from scipy import signal  # costs two seconds to import

    first, last = recording.times[0], recording.times[-1]
    times = first + np.arange(int((last - first) * source_rate + 1.001)) / source_rate
    readings = interpolated(recording, times)
    sections = signal.butter(8, PASSED * rate / source_rate, output="sos")
    edge = min(60, len(times) - 1)
    return Recording(signal.sosfiltfilt(sections, readings, axis=0, padlen=edge), times)


def interpolated(recording: Recording, wanted: np.ndarray) -> np.ndarray:
    """Return the readings at the `wanted` moments, linearly: [len(wanted), channels]."""
    channels = [np.interp(wanted, recording.times, c) for c in recording.readings.T]
    return np.stack(channels, axis=1)
