"""Log-mel spectrograms as Kaldi computes them: what AST, and OneLLM after it, were trained on.

The steps, for 25 ms every 10 ms: subtract their mean, pre-emphasise (x[t] - 0.97 x[t-1]), apply a
symmetric Hann window, take the power of the Fourier transform, sum it under triangles that are
equally wide on the mel scale 1127 ln(1 + f / 700) from 20 Hz to half the rate, take the logarithm.
It is what `torchaudio.compliance.kaldi.fbank` gives with htk_compat, window "hanning", no energy
and no dither; a frame that would reach past the end is left out (snip_edges).
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np

FRAME_SECONDS, STEP_SECONDS = 0.025, 0.010
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
FLOOR = 1.1920929e-07  # the smallest energy, float32's epsilon


def frame_length(rate: int) -> int:
    """Return the samples of one frame."""
    return int(rate * FRAME_SECONDS)


def frame_step(rate: int) -> int:
    """Return the samples from one frame's start to the next one's."""
    return int(rate * STEP_SECONDS)


def samples_of(frames: int, rate: int) -> int:
    """Return how many samples `frames` frames cover."""
    return frame_length(rate) + (frames - 1) * frame_step(rate)


def log_mel(waveform: np.ndarray, rate: int, bins: int) -> np.ndarray:
    """Return the natural logarithm of the mel energies, float32 [bins, frames].

    waveform  float [samples], full scale 1, `rate` samples a second

    What is shorter than one frame is filled up with zeros to one. The mean of the whole waveform
    need not be subtracted first, as OneLLM does: every frame loses its own.
    """
    from transformers.audio_utils import spectrogram  # costs seconds to import

    length = frame_length(rate)
    waveform = np.pad(waveform, (0, max(0, length - len(waveform))))
    transform = transform_length(rate)
    return spectrogram(
        waveform,
        np.hanning(length),
        frame_length=length,
        hop_length=frame_step(rate),
        fft_length=transform,
        power=2.0,
        center=False,
        preemphasis=PREEMPHASIS,
        remove_dc_offset=True,
        mel_filters=mel_filters(rate, bins),
        mel_floor=FLOOR,
        log_mel="log",
    )


def transform_length(rate: int) -> int:
    """Return the next power of two from a frame's length on, the Fourier transform's."""
    return 1 << (frame_length(rate) - 1).bit_length()


@lru_cache(maxsize=8)
def mel_filters(rate: int, bins: int) -> np.ndarray:
    """Return the triangles as weights [frequencies, bins]."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        # 128 triangles are narrower than a frequency's step at the low end, so some hold none and
        # stay at the floor: so it is in Kaldi's, and so the encoders were trained.
        warnings.simplefilter("ignore")
        return mel_filter_bank(
            num_frequency_bins=transform_length(rate) // 2 + 1,
            num_mel_filters=bins,
            min_frequency=LOWEST_HZ,
            max_frequency=rate / 2,
            sampling_rate=rate,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
