"""Sound: a file of any common format becomes a log-mel spectrogram of a fixed number of frames.

OneLLM's hearing (arXiv 2312.03700, section 3.1 and the released code): 16 kHz, 128 mel bins, 1024
frames of 10 ms (10.24 s; longer sounds are cut, shorter ones filled with zeros), normalised with
AudioSet's statistics as in AST (arXiv 2104.01778), and a convolution with overlapping kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.readers import audio_decoder as sound
from polysense.modalities.readers.media_container import has_stream, open_container
from polysense.modalities.sources.file_checks import one_line_errors, open_source, source_name
from polysense.modalities.transforms import mel_spectrogram as mel


@dataclass(frozen=True)
class AudioModality(Modality):
    """A sound as [1, mel_bins, frames], low frequencies first.

    mean, std       a value x of the log-mel spectrogram becomes (x - mean) / (2 std)
    kernel, stride  of the tokenizer's convolution, over mel bins and frames alike
    max_seconds     limit on the whole file, of which only the first frames are decoded
    """

    name = "audio"
    extensions = tuple("wav mp3 flac ogg oga opus m4a aac aif aiff au caf w64 amr wma mka".split())
    shared_endings = tuple("mp4 m4v webm mkv avi mov mpg mpeg ts flv wmv 3gp".split())

    rate: int = 16_000
    mel_bins: int = 128
    frames: int = 1024
    mean: float = -4.2677393
    std: float = 4.5689974
    kernel: int = 16
    stride: int = 10
    max_bytes: int = 2**30
    max_seconds: float = 3600

    def __post_init__(self) -> None:
        if not sound.LOWEST_RATE <= self.rate <= sound.HIGHEST_RATE:
            raise PolysenseError(
                f"audio.rate must be {sound.LOWEST_RATE:,} to {sound.HIGHEST_RATE:,} samples a "
                f"second, not {self.rate:,}"
            )
        if self.std <= 0 or self.stride < 1:
            raise PolysenseError("audio.std and audio.stride must be positive")
        if not 1 <= self.kernel <= min(self.mel_bins, self.frames):
            raise PolysenseError(
                f"audio.kernel={self.kernel} must be positive and fit into audio.mel_bins="
                f"{self.mel_bins} and audio.frames={self.frames}"
            )

    def read(self, source: Any) -> torch.Tensor:
        """Decode a path, bytes or (array, rate) into [1, mel_bins, frames].

        An array is float in [-1, 1] or signed integers, [samples] or [samples, channels]. Channels
        are averaged. Raises PolysenseError, in one line that names the file, where the source is
        missing, damaged, of no known format, over a limit, or holds no numbers.
        """
        name = source_name("sound", source)
        wanted = (self.rate, mel.samples_of(self.frames, self.rate), self.max_seconds)
        with one_line_errors(name):
            if isinstance(source, str | Path | bytes | bytearray):
                with open_source(source, name, "audio.max_bytes", self.max_bytes) as file:
                    waveform = sound.decode(file, name, *wanted)
            elif isinstance(source, tuple) and len(source) == 2:
                waveform = sound.from_array(*source, name, *wanted)
            else:
                raise PolysenseError(
                    "a sound must be a path, bytes or a pair (array, rate), not "
                    f"{type(source).__name__}"
                )
        values = mel.log_mel(waveform, self.rate, self.mel_bins)
        # Filled up before it is normalised, as in the release: silence after the end is log 1.
        values = np.pad(values, ((0, 0), (0, self.frames - values.shape[1])))
        return ((torch.from_numpy(values) - self.mean) / (2 * self.std))[None]

    def tokenizer(self, width: int) -> nn.Module:
        """OneLLM's: one convolution; 12 x 101 = 1212 tokens at the defaults."""
        return SpectrogramTokenizer(width, self.kernel, self.stride)

    def example(self) -> torch.Tensor:
        """A second of concert pitch, 440 Hz."""
        seconds = np.arange(self.rate) / self.rate
        return self.read((0.5 * np.sin(2 * np.pi * 440 * seconds), self.rate))

    def suits(self, source: Any) -> bool:
        """Whether it is sound alone: a film with sound is a video, unless the user says audio."""
        if not super().suits(source):
            return False
        name = source_name("sound", source)
        with (
            open_source(source, name, "audio.max_bytes", self.max_bytes) as file,
            open_container(file, name) as container,
        ):
            return not has_stream(container, "video")

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Move in time by up to 0.1 s (round the end), change loudness by up to 6 dB, then mask one
        band of up to a fifth of the bins and one stretch of up to a fifth of the frames, with the
        mean (SpecAugment, arXiv 1904.08779). What was filled up stays as it is."""

        def draw(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        view, length = signal.clone(), self._length(signal)
        heard = view[..., :length].roll(round(draw(-10, 10)), dims=-1)
        floor = (np.log(mel.FLOOR) - self.mean) / (2 * self.std)
        gain = draw(-6, 6) * np.log(10) / 10 / (2 * self.std)
        # Empty places have no energy to make louder.
        heard = torch.where(heard > floor + 1e-4, (heard + gain).clamp(min=floor), heard)
        middle = heard.mean() if length else 0.0
        for axis, size in ((1, self.mel_bins), (2, length)):
            width = int(draw(0, 0.2) * size)
            heard.narrow(axis, int(draw(0, size - width)), width).fill_(middle)
        view[..., :length] = heard
        return view

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Return the spectrogram for people: time to the right, frequency upwards, loud is light;
        what was filled up after the sound's end is black. A bin is three pixels high."""
        values, length = signal[0].flip(0), self._length(signal)
        heard = values[:, :length]
        low, high = heard.aminmax() if length else (torch.tensor(0.0), torch.tensor(1.0))
        shares = (values - low) / (high - low).clamp(min=1e-6)
        shares[:, length:] = 0
        grey = Image.fromarray((shares.clamp(0, 1) * 255).byte().numpy())
        picture = ImageOps.colorize(grey, black="#000004", mid="#b73779", white="#fcfdbf")
        return picture.resize((grey.width, 3 * grey.height), Image.Resampling.NEAREST)

    def _length(self, signal: torch.Tensor) -> int:
        """Return how many frames hold sound; after them, all values are a normalised 0."""
        filled = torch.tensor(-self.mean / (2 * self.std))
        heard = (signal[0] - filled).abs().amax(dim=0) > 1e-6
        return int(heard.nonzero().max()) + 1 if bool(heard.any()) else 0


class SpectrogramTokenizer(nn.Module):
    """Signals [N, 1, mel_bins, frames] to tokens [N, F, width], mel rows first and time within."""

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, width, kernel, stride=stride)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Convolve and flatten row by row."""
        return self.convolution(signals).flatten(2).transpose(1, 2)
