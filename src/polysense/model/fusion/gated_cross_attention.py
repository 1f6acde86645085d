"""Flamingo's way into the LLM (arXiv 2204.14198, section 2.2): gated cross-attention.

The text keeps only a placeholder for each signal; blocks between the frozen layers look at the
signals' embeddings instead. The blocks are put there by forward hooks, so that any decoder of
transformers takes them, and both gates begin at tanh(0) = 0: before the first step the LLM is, bit
for bit, the one it was.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.attention import attend
from polysense.model.fusion.idefics_block import IdeficsBlock
from polysense.model.fusion.llm_hooks import LLMHooks, decoder_layers, for_beams
from polysense.model.fusion.media_context import KeysAndValues, MediaContext

HEAD_WIDTH = 64


class GatedCrossAttentionBlock(nn.Module):
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

    def remember(self, media: torch.Tensor) -> KeysAndValues:
        """media [B, S, W] -> its keys and values [B, S, heads * 64]."""
        media = media.to(self.key.weight.dtype)
        return self.key(media), self.value(media)

    def forward(
        self, x: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """x [B, T, D] looks where mask [B, 1, T, S] allows -> [B, T, D]; nowhere: adds nothing."""
        conditioned_on = mask.any(dim=-1, keepdim=True)
        # Softmax over nothing is NaN: who sees nothing looks everywhere and drops what it finds.
        found = attend(self.query(self.norm(x)), key, value, self.heads, mask | ~conditioned_on)
        x = x + self.attention_gate.tanh() * self.out(found * conditioned_on[:, 0])
        return x + self.feedforward_gate.tanh() * self.feedforward(x)


class GatedCrossAttention(LLMHooks[MediaContext]):
    """Gated blocks before every `every`-th layer of an LLM, which itself stays as it is.

    The blocks' parameters are this module's; the LLM only calls them. Outside of `conditioned_on`
    they do nothing. IDEFICS begins with the first layer, Flamingo with the last of the first
    `every`; `llama` has options of IDEFICS's blocks.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        media_width: int,
        every_n_layers: int = 4,
        heads: int | None = None,
        feedforward: int | None = None,
        variant: Literal["flamingo", "idefics"] = "flamingo",
        **llama: Any,
    ) -> None:
        super().__init__(llm)
        layers = decoder_layers(llm)
        config = llm.config.get_text_config()
        width, idefics = config.hidden_size, variant == "idefics"
        chosen = range(0 if idefics else every_n_layers - 1, len(layers), every_n_layers)

        def block() -> GatedCrossAttentionBlock | IdeficsBlock:
            if not idefics:
                return GatedCrossAttentionBlock(
                    width, media_width, heads or 8, feedforward or 4 * width
                )
            hidden = feedforward or getattr(config, "intermediate_size", 4 * width)
            own, epsilon = (
                heads or getattr(config, "num_attention_heads", 8),
                getattr(config, "rms_norm_eps", 1e-6),
            )
            return IdeficsBlock(width, media_width, own, hidden, epsilon, **llama)

        if not chosen:
            raise PolysenseError(
                f"fusion.every_n_layers={every_n_layers}: the LLM has {len(layers)} layers only"
            )
        self.blocks = nn.ModuleDict({str(index): block() for index in chosen})
        self.hooks += [
            layers[index].register_forward_pre_hook(partial(self._before, index), with_kwargs=True)
            for index in chosen
        ]

    def conditioned_on(
        self, media: torch.Tensor, counts: torch.Tensor, before: torch.Tensor | None = None
    ) -> AbstractContextManager[None]:
        """Let the LLM, inside this context, see media [B, K, M, W]; as `MediaContext.of` says."""
        return self.with_context(MediaContext.of(media, counts, before))

    def _before(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Change the hidden states [B, T, D] that come to layer `index`."""
        if self.view is None:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        changed = self._look(str(index), hidden, self.view)
        return (
            ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})
        )

    def _look(self, name: str, hidden: torch.Tensor, view: MediaContext) -> torch.Tensor:
        block = self.blocks[name]
        assert isinstance(block, GatedCrossAttentionBlock | IdeficsBlock)
        key, value = view.cached_kv(name, block.remember)
        mask = view.latest(self.past, hidden.shape[1])
        key, value, mask = for_beams(len(hidden), key, value, mask)
        return block(hidden.to(key.dtype), key, value, mask).to(hidden.dtype)
