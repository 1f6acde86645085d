"""Recordings and pictures that are the same once decoded, or nearly: saved again, cut otherwise.

Each becomes a vector of unit length, so that the product of two is their correlation; what lies
above a threshold is of one group. Thresholds are of data that were looked at: Tux Paint's sounds
and stamps, whose copies lie above and whose strangers below.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polysense.data.duplicates.groups import groups_joined

SOUNDS, PICTURES = 0.89, 0.94  # correlations from which two are the same
FRAME, HOP, SECONDS = 512, 128, 1.0
BEGINS = 0.1  # of a recording's peak: what is quieter before it is silence
SIZE = 24  # fields a side


def sound_vector(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the log spectrum over time of a recording's first second, from its beginning on."""
    loud = np.flatnonzero(np.abs(sound) >= BEGINS * np.abs(sound).max())
    length = round(SECONDS * rate) + FRAME
    heard = np.zeros(length)
    part = sound[loud[0] if len(loud) else 0 :][:length]
    heard[: len(part)] = part
    frames = np.lib.stride_tricks.sliding_window_view(heard, FRAME)[::HOP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return unit(np.log(power + 1e-4 * power.max() + 1e-12))


def picture_vector(pixels: np.ndarray) -> np.ndarray:
    """Return the colours of a decoded picture [3, S, S] in 24 x 24 fields; S is a multiple."""
    step = pixels.shape[1] // SIZE
    fields = pixels[:, : step * SIZE, : step * SIZE].reshape(3, SIZE, step, SIZE, step)
    return unit(fields.mean(axis=(2, 4)))


def unit(values: np.ndarray) -> np.ndarray:
    """Return values as one vector about zero, of unit length; zeros where all are the same."""
    vector = (values - values.mean()).ravel()
    size = np.linalg.norm(vector)
    return vector / size if size > 0 else vector


def groups_alike(vectors: Sequence[np.ndarray], least: float) -> list[int]:
    """Return for each vector the first index of its group: those that correlate, and theirs."""
    matrix = np.stack(vectors) if len(vectors) else np.zeros((0, 1))
    pairs = [
        (index, other)
        for index, vector in enumerate(matrix)
        for other in np.flatnonzero(matrix[:index] @ vector >= least).tolist()
    ]
    return groups_joined(pairs, len(vectors))
