"""Sound decoded to one channel at one rate, no more of it than is needed.

libsndfile reads WAV, FLAC, OGG and MP3; FFmpeg the rest (M4A, the sound of a video). Duration, rate
and channels are checked from the headers. Channels are averaged block by block, so that a file of
many costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any, BinaryIO, cast

import av
import numpy as np
import soundfile
from av.container import InputContainer

from polysense.errors import PolysenseError
from polysense.modalities.readers.audio_headers import header_seconds, own_header_seconds
from polysense.modalities.readers.media_container import (
    check_duration,
    duration,
    first_stream,
    open_container,
)

LIBSNDFILE = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 1_000, 768_000, 64
PEAK = 32.0  # of full scale 1: louder samples are integers that somebody took for floats
BLOCK = 2**16  # frames decoded at a time
MISSING = 0.1  # seconds that may lack of the promised ones: encoders round up to their blocks
MARGIN = 0.05  # seconds beyond the needed ones, so that resampling sees no edge there


def decode(file: BinaryIO, name: str, rate: int, samples: int, max_seconds: float) -> np.ndarray:
    """Return the first `samples` samples at `rate`, or all there are: float32 [samples].

    A damaged file, or one cut short, gives an error, unless its beginning can be decoded and
    suffices. The limit on seconds counts the whole file.
    """
    needed = samples / rate + MARGIN
    try:
        sound = soundfile.SoundFile(file)
    except (
        soundfile.LibsndfileError,
        TypeError,
    ):  # TypeError: a file called .raw, without a header
        sound = None
    if sound is not None and sound.format in LIBSNDFILE:
        with sound:
            if sound.frames < 2**60:  # more stands for "unknown"
                seconds = sound.frames / sound.samplerate
                check_duration(seconds, name, "audio.max_seconds", max_seconds)
            check_form(sound.samplerate, sound.channels, name)
            frames = ceil(needed * sound.samplerate)
            parts = [block.mean(axis=1) for block in blocks_of(sound, frames)]
            check_whole(parts, sound.samplerate, needed, file, sound.frames, name)
            return at_rate(parts, sound.samplerate, rate, samples, name)
    file.seek(0)
    with open_container(file, name) as container:
        stream = cast(av.AudioStream, first_stream(container, "audio", name))
        seconds = duration(container, stream) or 0.0
        check_duration(seconds, name, "audio.max_seconds", max_seconds)
        check_form(stream.rate, stream.channels, name)
        parts = list(container_blocks(container, stream, needed))
        # Of FFmpeg's lengths only an MP4's is known: others are estimates, or the longest stream's.
        is_mp4 = container.format.name.startswith("mov")
        promised = seconds if is_mp4 else own_header_seconds(file) or 0.0
        check_length(parts, stream.rate, min(needed, promised), name)
        return at_rate(parts, stream.rate, rate, samples, name)


def blocks_of(sound: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """Yield the first `frames` frames [n, channels], or what there is of them.

    soundfile's own `blocks` yields memory that nobody has written where a file ends too early.
    """
    while frames > 0:
        block = sound.read(min(BLOCK, frames), dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block
        frames -= len(block)


def check_whole(
    parts: list[np.ndarray], rate: float, needed: float, file: BinaryIO, frames: int, name: str
) -> None:
    """Refuse decoded parts of less than is needed, where the header promises more than they are.

    libsndfile goes by what the file holds, so its header is asked, too.
    """
    if sum(map(len, parts)) < needed * rate:
        promised = frames / rate if frames < 2**60 else 0.0
        check_length(parts, rate, min(needed, max(promised, header_seconds(file))), name)


def check_length(parts: list[np.ndarray], rate: float, seconds: float, name: str) -> None:
    """Refuse decoded parts that are shorter than the `seconds` that the header promises of them."""
    held = sum(map(len, parts)) / rate
    if seconds - held > max(MISSING, 0.02 * seconds):
        raise PolysenseError(
            f"{name} is cut short: it ends after {held:.2f} s, and its header promises more"
        )


def container_blocks(
    container: InputContainer, stream: av.AudioStream, seconds: float
) -> Iterator[np.ndarray]:
    """Decode the first `seconds`, channels averaged."""
    floats = av.AudioResampler(format="fltp")  # the layout and the rate stay the stream's
    count, frames = 0, ceil(seconds * stream.rate)
    for packed in container.decode(stream):
        for frame in floats.resample(packed):
            values = frame.to_ndarray()
            count += values.shape[1]
            yield values.mean(axis=0)
        if count >= frames:
            return


def from_array(
    values: Any, source_rate: float, name: str, rate: int, samples: int, max_seconds: float
) -> np.ndarray:
    """The same of an array in memory, float in [-1, 1] or signed integers; the shorter of two axes
    is the channels."""
    values = np.asarray(values)
    signed = np.issubdtype(values.dtype, np.signedinteger)
    if values.ndim not in (1, 2) or not (signed or np.issubdtype(values.dtype, np.floating)):
        raise PolysenseError(
            f"{name} must be float or signed integers, [samples] or [samples, channels], not "
            f"{values.dtype} {list(values.shape)}"
        )
    values = values[:, None] if values.ndim == 1 else values
    if 0 < values.shape[0] < values.shape[1]:
        values = values.T
    check_form(source_rate, values.shape[1], name)
    check_duration(len(values) / source_rate, name, "audio.max_seconds", max_seconds)
    scale = -float(np.iinfo(values.dtype).min) if signed else 1.0
    values = values[: ceil((samples / rate + MARGIN) * source_rate)] / scale
    return at_rate([values.mean(axis=1)], source_rate, rate, samples, name)


def check_form(rate: float, channels: int, name: str) -> None:
    """Refuse rates and numbers of channels that no recording has."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise PolysenseError(
            f"{name} has {rate:,} samples a second; it must be {LOWEST_RATE:,} to {HIGHEST_RATE:,}"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise PolysenseError(f"{name} has {channels} channels; it must be 1 to {MOST_CHANNELS}")


def at_rate(
    parts: list[np.ndarray], source_rate: float, rate: int, samples: int, name: str
) -> np.ndarray:
    """Join decoded parts [samples], check them and bring them to `rate`, at most `samples` long."""
    waveform = np.concatenate([np.empty(0, np.float32), *parts])
    if len(waveform) == 0:
        raise PolysenseError(f"{name} has no samples")
    wrong = int(np.count_nonzero(~np.isfinite(waveform)))
    if wrong:
        raise PolysenseError(f"{name} has {wrong} samples that are no numbers (NaN or infinite)")
    peak = float(np.abs(waveform).max())
    if peak > PEAK:
        raise PolysenseError(f"{name} reaches {peak:,.0f}; samples as floats lie in -1 to 1")
    # Odd rates are rounded by less than a millionth: the filter stays short.
    ratio = Fraction(rate / source_rate).limit_denominator(1000)
    if ratio != 1:
        from scipy.signal import resample_poly  # a second to import, and often not needed

        waveform = resample_poly(waveform, ratio.numerator, ratio.denominator)
    return np.asarray(waveform[:samples], dtype=np.float32)
