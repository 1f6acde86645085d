"""LLaMA-Adapter's way into the LLM (arXiv 2303.16199 and 2304.15010): prompts inside attention.

In the top layers, attention looks at trainable prompts and at the signals' embeddings besides the
text, through the layer's own frozen projections. What it finds there is added to what it found in
the text, times a gate a head that begins at tanh(0) = 0: before the first step the LLM is, bit for
bit, the one it was.

As in the papers, prompts have no positions: queries and keys meet before the rotary embedding. The
second paper adds its signal's embeddings to the prompts; here they stand beside them, so that their
number is free, and a position sees those that came before it in its sample.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.attention import attend
from polysense.model.fusion.llm_hooks import LLMHooks, decoder_layers, for_beams
from polysense.model.fusion.media_context import KeysAndValues, MediaContext

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


class AdapterLayer(nn.Module):
    """What one layer of the LLM gets: prompts [P, D], and a gate [H] for its heads, zero at first.

    Prompts begin with unit variance, as what comes to attention, behind a norm, has it.
    """

    def __init__(self, prompts: int, width: int, heads: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.randn(prompts, width))
        self.gate = nn.Parameter(torch.zeros(heads))


class LlamaAdapter(LLMHooks[MediaContext]):
    """Prompts in the top `layers` layers of an LLM (None: in all but the first).

    An LLM must have LLaMA's names: q_proj, k_proj, v_proj, o_proj. Outside of `conditioned_on` they
    do nothing.
    """

    def __init__(self, llm: PreTrainedModel, layers: int | None = None, prompts: int = 10) -> None:
        super().__init__(llm)
        config = llm.config.get_text_config()
        decoder = decoder_layers(llm)
        count = len(decoder) - 1 if layers is None else layers
        if not 1 <= count <= len(decoder):
            raise PolysenseError(f"fusion.layers={count}: the LLM has {len(decoder)} layers")
        for layer in decoder[len(decoder) - count :]:
            attention_of(layer, type(llm).__name__)  # before its heads: Mamba has none
        self.heads: int = config.num_attention_heads
        self.layers = nn.ModuleDict()
        self.asked: dict[str, torch.Tensor] = {}  # queries of the running call
        for index in range(len(decoder) - count, len(decoder)):
            name, attention = str(index), attention_of(decoder[index], type(llm).__name__)
            self.layers[name] = AdapterLayer(prompts, config.hidden_size, self.heads)
            self.hooks += [
                attention.q_proj.register_forward_hook(partial(self._ask, name)),
                attention.o_proj.register_forward_pre_hook(partial(self._add, name, attention)),
            ]

    def conditioned_on(
        self, media: torch.Tensor, counts: torch.Tensor, before: torch.Tensor | None = None
    ) -> AbstractContextManager[None]:
        """Let the LLM, inside this context, see media [B, K, M, D]; as `MediaContext.of` says."""
        return self.with_context(MediaContext.of(media, counts, before))

    def _ask(self, name: str, projection: nn.Module, args: Any, query: torch.Tensor) -> None:
        """Keep the queries [B, T, H * W] that a layer's attention makes."""
        if self.view is not None:
            self.asked[name] = query

    def _add(
        self, name: str, attention: Any, projection: nn.Module, args: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """Add what the prompts say to what attention [B, T, H * W] found in the text."""
        if self.view is None:
            return None
        found, *rest = args
        layer = self.layers[name]
        assert isinstance(layer, AdapterLayer)
        query = self._normed(attention, "q_norm", self.asked.pop(name))
        said = self._look(name, layer, attention, query, self.view)
        gate = layer.gate.tanh().repeat_interleave(said.shape[-1] // self.heads)
        return (found + (gate * said).to(found.dtype), *rest)

    def _look(
        self,
        name: str,
        layer: AdapterLayer,
        attention: Any,
        query: torch.Tensor,
        view: MediaContext,
    ) -> torch.Tensor:
        """query [B, T, H * W] over prompts and media -> [B, T, H * W]."""
        key, value = view.cached_kv(name, partial(self._remember, layer, attention))
        signals = view.so_far(self.past, query.shape[1])
        prompts = signals.new_ones((*signals.shape[:-1], len(layer.prompts)))
        mask = torch.cat([prompts, signals], dim=-1)  # everyone sees the prompts
        key, value, mask = for_beams(len(query), key, value, mask)
        return attend(query, key.to(query.dtype), value.to(query.dtype), self.heads, mask)

    def _remember(self, layer: AdapterLayer, attention: Any, media: torch.Tensor) -> KeysAndValues:
        """media [B, S, D] -> keys and values of prompts and media, [B, P + S, H * W]."""
        prompts = layer.prompts.expand(len(media), -1, -1)
        seen = torch.cat([prompts, media.to(prompts.dtype)], dim=1)
        seen = seen.to(attention.k_proj.weight.dtype)
        key = self._normed(attention, "k_norm", attention.k_proj(seen))
        return self._for_heads(attention, key), self._for_heads(attention, attention.v_proj(seen))

    def _for_heads(self, attention: Any, states: torch.Tensor) -> torch.Tensor:
        """Repeat keys or values that several heads share (grouped queries): -> [B, S, H * W]."""
        width = attention.q_proj.out_features // self.heads
        shared = states.unflatten(-1, (-1, width))
        return shared.repeat_interleave(self.heads // shared.shape[-2], dim=-2).flatten(-2)

    def _normed(self, attention: Any, norm: str, states: torch.Tensor) -> torch.Tensor:
        """Norm queries or keys as the LLM does: each head's (Qwen 3) or all at once (OLMo 2)."""
        if not hasattr(attention, norm):
            return states
        module, width = getattr(attention, norm), attention.q_proj.out_features // self.heads
        if module.weight.shape[0] != width:
            return module(states)
        return module(states.unflatten(-1, (-1, width))).flatten(-2)


def attention_of(layer: nn.Module, llm: str) -> Any:
    """Return the attention module of a decoder layer; one without LLaMA's names is an error."""
    for module in layer.modules():
        if all(hasattr(module, name) for name in PROJECTIONS):
            inside, outside = getattr(module, "q_proj"), getattr(module, "o_proj")  # noqa: B009
            if inside.out_features == outside.in_features:
                return module
    raise PolysenseError(
        f"fusion.kind=llama_adapter needs attention with {', '.join(PROJECTIONS)} as in LLaMA, and "
        f"{llm} has none such: use cross_attention or input"
    )
