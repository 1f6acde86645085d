"""CogVLM's way into the LLM (arXiv 2311.03079, section 2.1): weights of their own for a modality.

Embeddings stand among the words, and at their positions the layers' projections of query, key and
value and their feed-forward networks have other weights, which begin as the LLM's. Text positions
use the LLM's own. Kept is the difference of the two, zero at first: a linear layer's output is W x
for text and W x + difference x for a modality. So the model begins, bit for bit, as it is without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.fusion.base import InputFusion, Prompt, merged
from polysense.model.fusion.llm_hooks import LLMHooks, decoder_layers, for_beams
from polysense.model.fusion.merge_embeddings import placeholder_mask

# Names of the linear layers, of LLaMA and its kin, that a modality has weights of its own for:
# those before attention (fused in Phi-3) and of the feed-forward network. One set of each is
# needed.
ATTENTION = (("q_proj", "k_proj", "v_proj"), ("qkv_proj",))
FEEDFORWARD = (("gate_proj", "up_proj", "down_proj"), ("gate_up_proj", "down_proj"))


class Difference(nn.Module):
    """What a modality's weight and bias of a linear layer have more than the LLM's."""

    def __init__(self, inside: int, outside: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outside, inside))
        self.bias = nn.Parameter(torch.zeros(outside)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[K, in] -> [K, out]."""
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


class VisualExpert(LLMHooks[torch.Tensor]):
    """Weights of a modality in every `every`-th layer of an LLM, one set for all modalities.

    Only the modality's positions cost more: one more product each. Outside of `conditioned_on` they
    do nothing. Raises PolysenseError where the layers have not LLaMA's names.
    """

    def __init__(self, llm: PreTrainedModel, every_n_layers: int = 1) -> None:
        super().__init__(llm)
        decoder = decoder_layers(llm)
        chosen = range(every_n_layers - 1, len(decoder), every_n_layers)
        if not chosen:
            raise PolysenseError(
                f"fusion.every_n_layers={every_n_layers}: the LLM has {len(decoder)} layers only"
            )
        self.layers = nn.ModuleDict()
        for index in chosen:
            own = nn.ModuleDict()
            for name, linear in expert_linears(decoder[index], type(llm).__name__).items():
                bias = getattr(linear, "bias", None) is not None
                own[name] = Difference(linear.in_features, linear.out_features, bias)
                self.hooks.append(linear.register_forward_hook(partial(self._differ, own[name])))
            self.layers[str(index)] = own

    def conditioned_on(self, held: torch.Tensor) -> AbstractContextManager[None]:
        """Use the modality's weights, inside this context, where `held`, bool [B, T], is True.

        It is the whole prompt's, what a cache already holds of it included; text follows it.
        """
        return self.with_context(held)

    def _differ(
        self, own: nn.Module, linear: nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor
    ) -> torch.Tensor | None:
        """Change a linear layer's output [B, T, out] at the modality's positions."""
        if self.view is None or self.past >= self.view.shape[1]:
            return None
        here = self.view[:, self.past : self.past + out.shape[1]]
        here = functional.pad(here, (0, out.shape[1] - here.shape[1]))
        (here,) = for_beams(len(out), here)
        more = own(args[0][here])
        return out.index_put((here,), more.to(out.dtype), accumulate=True)


def expert_linears(layer: nn.Module, llm: str) -> dict[str, Any]:
    """Return the linear layers {name: module} that an expert doubles; none such is an error."""
    if any("expert" in name for name, _ in layer.named_modules()):
        raise PolysenseError(
            f"fusion.kind=visual_expert needs one feed-forward network a layer, and {llm} is a "
            "mixture of experts: use cross_attention, llama_adapter or input"
        )
    found = {
        name.rsplit(".", 1)[-1]: module
        for name, module in layer.named_modules()
        if hasattr(module, "in_features") and hasattr(module, "out_features")
    }
    sets = [
        next((names for names in choices if all(name in found for name in names)), None)
        for choices in (ATTENTION, FEEDFORWARD)
    ]
    if None in sets:
        raise PolysenseError(
            "fusion.kind=visual_expert needs layers with q_proj, k_proj, v_proj, gate_proj, "
            f"up_proj and down_proj as in LLaMA; those of {llm} have "
            f"{', '.join(sorted(found)) or 'none'}"
        )
    return {name: found[name] for names in sets if names for name in names}


class VisualExpertFusion(InputFusion):
    """As at the input; and an expert in the LLM has weights of its own for those places."""

    def __init__(self, expert: VisualExpert) -> None:
        super().__init__()
        self.expert = expert

    @contextmanager
    def conditioned_on(self, prompt: Prompt) -> Iterator[torch.Tensor]:
        """Yield the words with the embeddings in place, which are the expert's."""
        inputs = merged(prompt)
        with self.expert.conditioned_on(placeholder_mask(prompt.input_ids, prompt.placeholders)):
            yield inputs
