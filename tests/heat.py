"""A sense of a user's own, as the text of the file that they would write."""

SENSE = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn
from polysense.modalities import Modality
from polysense.modalities.image import ImageModality

RUNS = globals().get("RUNS", 0) + 1

@dataclass(frozen=True)
class Heat(Modality):
    name = "heat"
    size: int = 4
    scale: float = 1.0

    def read(self, source):
        return torch.full((self.size,), float(source))

    def tokenizer(self, width):
        return nn.Linear(self.size, width)

    def example(self):
        return torch.zeros(self.size)
"""
