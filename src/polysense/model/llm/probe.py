"""An LLM's two halves, layers and head, and how several samples share a row of its layers.

transformers has one interface for a whole causal LLM and no promise about its inside. So nothing is
believed here: each shortcut is tried once on an LLM, on a few positions, against the LLM itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

Found = TypeVar("Found")

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


def once(
    memory: WeakKeyDictionary[nn.Module, Found], llm: Any, find: Callable[[Any], Found]
) -> Found:
    """Return what `find` says of an LLM, asked once."""
    if llm not in memory:
        memory[llm] = find(llm)
    return memory[llm]


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
