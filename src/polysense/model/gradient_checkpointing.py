"""Activation checkpointing: an LLM's layers forget what they computed and compute it again.

As `gradient_checkpointing_enable` does in any model of transformers, but for two things. The
backward pass comes when the context in which a fusion shows the signals is closed: what it
showed is kept and shown again while a layer is recomputed. And layers recompute in evaluation mode
too, since a frozen LLM stays in it (train mode would turn its dropout on).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache

from polysense.model.fusion.llm_hooks import LLMHooks


def recompute_layers(
    layers: nn.ModuleList, hooked: LLMHooks | None, checkpoint: Callable[..., Any], every: int = 1
) -> None:
    """Let every `every`-th of `layers` recompute, by `checkpoint` (torch's, its options given)."""
    keep_layers(layers)
    for layer in list(layers)[::every]:
        layer.forward = partial(recomputed, layer.forward, hooked, checkpoint)


def keep_layers(layers: nn.ModuleList) -> None:
    """Let `layers` keep what they compute, as before `recompute_layers`."""
    for layer in layers:
        vars(layer).pop("forward", None)


def recomputed(
    forward: Callable[..., Any],
    hooked: LLMHooks | None,
    checkpoint: Callable[..., Any],
    *args: Any,
    **options: Any,
) -> Any:
    """Call a layer's `forward`, and again in the backward pass.

    Not where no gradient is asked for, and not with a cache, which would be written twice.
    """
    has_cache = any(isinstance(value, Cache) for value in (*args, *options.values()))
    if has_cache or not torch.is_grad_enabled():
        return forward(*args, **options)
    again = nullcontext() if hooked is None else shown_again(hooked, hooked.view, hooked.past)
    return checkpoint(forward, *args, context_fn=lambda: (nullcontext(), again), **options)


@contextmanager
def shown_again(hooked: LLMHooks, view: Any, past: int) -> Iterator[None]:
    """Show `view` inside this context, and afterwards what was shown before."""
    before = hooked.view, hooked.past
    hooked.view, hooked.past = view, past
    try:
        yield
    finally:
        hooked.view, hooked.past = before
