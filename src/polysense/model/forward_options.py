"""What `forward` takes and returns besides tensors, as transformers' Trainer asks of a model."""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from polysense.errors import PolysenseError

# With labels nothing but the loss is returned; these are the options that this leaves a meaning.
LOSS_OPTIONS = ("num_items_in_batch", "return_dict", "use_cache")


def checked_options(options: dict[str, Any], has_labels: bool) -> dict[str, Any]:
    """Return the options that are set; one that cannot be followed is an error."""
    options = {name: value for name, value in options.items() if value is not None}
    if "inputs_embeds" in options:
        raise PolysenseError(
            "forward takes input_ids with placeholders for signals, not inputs_embeds: give "
            "embeddings={modality: [N, M, D]} for signals that were encoded already"
        )
    if not has_labels:
        return options
    more = sorted(n for n, value in options.items() if n not in LOSS_OPTIONS and value is not False)
    if more:
        raise PolysenseError(
            f"forward with labels gives the loss alone, and not {', '.join(more)}: "
            "call it without labels for that"
        )
    return {name: value for name, value in options.items() if name in LOSS_OPTIONS}


def loss_output(
    total: torch.Tensor,
    num_labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    return_dict: bool = True,
    use_cache: bool = False,
) -> CausalLMOutputWithPast | tuple[Any, ...]:
    """Return the mean of a loss summed over labels; `use_cache` means nothing to it.

    Where a step accumulates several batches, `num_items_in_batch` is the number of labels of all.
    """
    divisor = num_labels.clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    output = CausalLMOutputWithPast(loss=total / divisor)
    return output if return_dict else output.to_tuple()
