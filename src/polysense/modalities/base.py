"""The contract of a modality: how a raw file becomes a signal, and which tokenizer reads it.

A new modality is one class with this shape, in this folder or in a user's own file. The core never
asks which modality it holds: it calls these methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.sources.file_checks import one_line_errors
from polysense.modalities.visualization.signal_plot import draw_pictures, draw_signal


def caption_prompt(what: str) -> str:
    """Return OneLLM's words to have something captioned (arXiv 2312.03700, appendix)."""
    return f"Provide a one-sentence caption for the provided {what}."


@dataclass(frozen=True)
class Modality(ABC):
    """A modality. Subclasses are frozen dataclasses whose fields are its options (sizes, limits).

    `name` is the modality's name in configurations, messages and manifests. Options are written to
    the checkpoint, so that a signal is read the same way when the model is loaded again.

    uses_vision_encoder   a signal is a picture [3, S, S], or several [frames, 3, S, S] whose
                 features are averaged: a vision encoder cuts it into patches itself, and takes no
                 tokens of it
    extensions   of files that are this modality's where nothing else says so, like "jpg": those
                 that no other modality claims
    shared_endings   of files that it reads as well as others do, like a depth map's "png"
    instruction  what a user says to have a signal captioned (OneLLM's prompts, appendix)
    """

    name: ClassVar[str]
    uses_vision_encoder: ClassVar[bool] = False
    extensions: ClassVar[tuple[str, ...]] = ()
    shared_endings: ClassVar[tuple[str, ...]] = ()

    @property
    def caption_prompt(self) -> str:
        """The paper's caption prompt, with the modality's name in it."""
        return caption_prompt(self.name.replace("_", " "))

    @abstractmethod
    def read(self, source: Any) -> torch.Tensor:
        """Decode `source` (a path, or an object users hold in memory) into a normalised signal.

        Returns a float32 tensor whose shape depends on the options only, so that signals stack.
        Raises PolysenseError where the source is missing, damaged or over a limit; limits are
        checked before the expensive decoding.
        """

    @abstractmethod
    def tokenizer(self, width: int) -> nn.Module:
        """Return the learnable map of signals [N, ...] to tokens [N, F, width], without positions
        or class token, which the encoder's side adds; Identity where `pictures` holds."""

    @abstractmethod
    def example(self) -> torch.Tensor:
        """Return one valid signal, for shape checks and `polysense describe`."""

    def suits(self, source: Any) -> bool:
        """Whether a file that several modalities could read is one of this one's kind.

        By default: whether it can be read. Narrower where much can be read and little is meant.
        """
        try:
            with one_line_errors(self.name):  # a user's own may raise anything
                self.read(source)
        except PolysenseError:
            return False
        return True

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a varied view of `signal` for training; by default the signal itself."""
        return signal

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Draw one signal for people, as an RGB picture; by default traces or a heat map of it."""
        return draw_pictures(signal) if self.uses_vision_encoder else draw_signal(signal)
