"""The contract of a sense: how a raw file becomes a signal, and which tokenizer reads it.

A new sense is one class with this shape, in this folder or in a user's own file. The core never
asks which modality it holds: it calls these methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn


@dataclass(frozen=True)
class Modality(ABC):
    """A sense. Subclasses are frozen dataclasses whose fields are its options (sizes, limits).

    `name` is the sense's name in configurations, messages and manifests. Options are written to
    the checkpoint, so that a signal is read the same way when the model is loaded again.
    """

    name: ClassVar[str]

    @abstractmethod
    def read(self, source: Any) -> torch.Tensor:
        """Decode `source` (a path, or an object users hold in memory) into a normalised signal.

        Returns a float32 tensor whose shape depends on the options only, so that signals stack.
        Raises PolysenseError where the source is missing, damaged or over a limit; limits are
        checked before the expensive decoding.
        """

    @abstractmethod
    def tokenizer(self, width: int) -> nn.Module:
        """Return the learnable map signal -> tokens [N, F, width], or Identity where the encoder
        embeds the signal itself."""

    @abstractmethod
    def example(self) -> torch.Tensor:
        """Return one valid signal, for shape checks and `polysense describe`."""

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a varied view of `signal` for training; by default the signal itself."""
        return signal
