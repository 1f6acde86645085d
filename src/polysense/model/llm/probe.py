"""How an LLM is tried: on a few positions, without chance, and left as it was.

transformers has one interface for a whole causal LLM and no promise about its inside. So nothing is
believed: capabilities.py tries each shortcut once on an LLM, against the LLM itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

# What an LLM raises that takes no such argument, or no mask of this shape.
REFUSALS = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def some_embeddings(llm: Any, count: int) -> torch.Tensor:
    """Return the embeddings [count, D] of some words, all different, without chance."""
    return llm.get_input_embeddings()(some_words(llm, count)).to(llm.dtype)


def some_words(llm: Any, count: int) -> torch.Tensor:
    """Return ids [count] of words, all different where there are as many, without chance."""
    weight = llm.get_input_embeddings().weight
    return torch.arange(count, device=weight.device) * 7 % weight.shape[0]


def alike(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two results differ by rounding only."""
    tolerance = 1e-3 if dtype == torch.float32 else 5e-2
    difference = (found.float() - wanted.float()).norm()
    return found.shape == wanted.shape and bool(difference <= tolerance * wanted.float().norm())


@contextmanager
def untouched(llm: nn.Module) -> Iterator[None]:
    """Ask an LLM something, without dropout or gradients, and leave it as it was."""
    modes = {module: module.training for module in llm.modules()}
    llm.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
