"""Flamingo's way into the LLM (arXiv 2204.14198, section 2.2): gated cross-attention.

The text keeps only a placeholder for each signal; blocks between the frozen layers look at the
signals' embeddings instead. The blocks are put there by forward hooks, so that any decoder of
transformers takes them, and both gates begin at tanh(0) = 0: before the first step the LLM is, bit
for bit, the one it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.attention import attend

HEAD_WIDTH = 64


def media_counts(input_ids: torch.Tensor, placeholder: int) -> torch.Tensor:
    """Return for each of the ids [B, T] how many signals its row has had so far, [B, T]."""
    return (input_ids == placeholder).cumsum(dim=1)


def last_media_mask(counts: torch.Tensor, media: int, each: int) -> torch.Tensor:
    """Return bool [B, 1, T, media * each]: a position sees only the last signal before it.

    counts [B, T] are `media_counts`; a signal has `each` embeddings. Before the first signal a
    position sees none, and signals that only fill up a batch are seen by nobody.
    """
    number = torch.arange(1, media + 1, device=counts.device).repeat_interleave(each)
    return (counts[..., None] == number)[:, None]


class GatedBlock(nn.Module):
    """x + tanh(a) attention(x, media), then x + tanh(b) feedforward(x); a and b start at 0."""

    def __init__(self, width: int, media_width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, inside = heads, heads * HEAD_WIDTH
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inside, bias=False)
        self.key = nn.Linear(media_width, inside, bias=False)
        self.value = nn.Linear(media_width, inside, bias=False)
        self.out = nn.Linear(inside, width, bias=False)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.feedforward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, width, bias=False),
        )
        self.feedforward_gate = nn.Parameter(torch.zeros(1))

    def remember(self, media: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """media [B, S, W] -> its keys and values [B, S, heads * 64]."""
        media = media.to(self.key.weight.dtype)
        return self.key(media), self.value(media)

    def forward(
        self, x: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """x [B, T, D] looks where mask [B, 1, T, S] allows -> [B, T, D]; nowhere: adds nothing."""
        seeing = mask.any(dim=-1, keepdim=True)
        # Softmax over nothing is NaN: who sees nothing looks everywhere and drops what it finds.
        found = attend(self.query(self.norm(x)), key, value, self.heads, mask | ~seeing)
        x = x + self.attention_gate.tanh() * self.out(found * seeing[:, 0])
        return x + self.feedforward_gate.tanh() * self.feedforward(x)


@dataclass
class View:
    """What the LLM sees during one call: media [B, S, W], `each` S to a signal, counts [B, T].

    `memory` holds the keys and values that each block made of the media, over decoding steps.
    """

    media: torch.Tensor
    each: int
    counts: torch.Tensor
    memory: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def mask(self, past: int, length: int) -> torch.Tensor:
        """Return `last_media_mask` for the positions past to past + length.

        What comes after the prompt (generated text) sees what the prompt's last position does.
        """
        places = torch.arange(past, past + length, device=self.counts.device)
        counts = self.counts[:, places.clamp(max=self.counts.shape[1] - 1)]
        return last_media_mask(counts, self.media.shape[1] // self.each, self.each)


class GatedAttention(nn.Module):
    """Gated blocks before every `every`-th layer of an LLM, which itself stays as it is.

    The blocks' parameters are this module's; the LLM only calls them. Outside of `seeing` they do
    nothing.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        media_width: int,
        every: int = 4,
        heads: int = 8,
        feedforward: int | None = None,
    ) -> None:
        super().__init__()
        layers = decoder_layers(llm)
        width = llm.config.get_text_config().hidden_size
        chosen = range(every - 1, len(layers), every)
        if not chosen:
            raise PolysenseError(f"every={every}: the LLM has {len(layers)} layers only")
        self.blocks = nn.ModuleDict(
            {
                str(index): GatedBlock(width, media_width, heads, feedforward or 4 * width)
                for index in chosen
            }
        )
        self.view: View | None = None
        self.hooks = [
            layers[index].register_forward_pre_hook(partial(self._before, index), with_kwargs=True)
            for index in chosen
        ]

    @contextmanager
    def seeing(self, media: torch.Tensor, counts: torch.Tensor) -> Iterator[None]:
        """Let the LLM, inside this context, see media [B, K, M, W] from prompts of counts [B, T].

        The prompt's counts include what a cache already holds of it. Rows with fewer than K signals
        are filled up with anything. With activation checkpointing
        the backward pass belongs inside too. Raises PolysenseError where signals are missing.
        """
        batch, given, each, _ = media.shape
        most = counts.amax(dim=1).tolist()
        if len(most) != batch:
            raise PolysenseError(f"media of {batch} samples were given for {len(most)} prompts")
        for row, count in enumerate(most):
            if count > given:
                raise PolysenseError(
                    f"sample {row} of the batch has {count} places for media but {given} are given"
                )
        self.view = View(media.flatten(1, 2), each, counts)
        try:
            yield
        finally:
            self.view = None

    def remove(self) -> None:
        """Take the blocks out of the LLM again."""
        for hook in self.hooks:
            hook.remove()

    def _before(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Change the hidden states [B, T, D] that come to layer `index`."""
        if self.view is None:
            return None
        past = next(
            (c.get_seq_length(index) for c in (*args, *kwargs.values()) if isinstance(c, Cache)), 0
        )
        hidden = args[0] if args else kwargs["hidden_states"]
        changed = self._look(str(index), hidden, int(past), self.view)
        return (
            ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})
        )

    def _look(self, name: str, hidden: torch.Tensor, past: int, view: View) -> torch.Tensor:
        block = self.blocks[name]
        assert isinstance(block, GatedBlock)
        kept = None if torch.is_grad_enabled() else view.memory.get(name)
        key, value = kept or block.remember(view.media)
        if not torch.is_grad_enabled():
            view.memory[name] = key, value
        mask = view.mask(past, hidden.shape[1])
        if len(hidden) != len(key):  # several beams a prompt, side by side
            beams = len(hidden) // len(key)
            key, value, mask = (part.repeat_interleave(beams, 0) for part in (key, value, mask))
        return block(hidden.to(key.dtype), key, value, mask).to(hidden.dtype)


def decoder_layers(llm: PreTrainedModel) -> nn.ModuleList:
    """Return the list of an LLM's layers, whatever its class calls it."""
    count = llm.config.get_text_config().num_hidden_layers
    for module in llm.modules():  # outermost first, before lists inside the layers (experts)
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise PolysenseError(
        f"{type(llm).__name__} keeps its {count} layers in no list: gated attention cannot be put "
        "between them"
    )
