"""Cross-entropy without the logits: the LLM's head and the loss in chunks, gradients included.

At a vocabulary of 128 thousand, the logits of 8 thousand positions take more memory than the model
that made them. Here a chunk of them exists at a time: its loss and its gradient are taken at once,
and only the gradient of the hidden states [K, D] and of what the head learns is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

CHUNK = 2**24  # logits at a time; 64 MiB in fp32


class LanguageHead(nn.Module):
    """hidden [K, D] -> logits [K, V] in fp32: a linear layer, and what some LLMs do after it.

    linear   nn.Linear, with or without bias, or peft's layer around one
    scale    factor of the logits (Cohere's logit_scale, 1 / Granite's logits_scaling)
    softcap  c of c * tanh(logits / c) (Gemma 2's final_logit_softcapping), or None
    """

    def __init__(self, linear: nn.Module, scale: float = 1.0, softcap: float | None = None) -> None:
        super().__init__()
        self.linear, self.scale, self.softcap = linear, scale, softcap

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits = self.linear(hidden).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap

    @property
    def is_plain(self) -> bool:
        """Whether the head is a matrix and a bias, and nothing more."""
        return type(self.linear) is nn.Linear and self.scale == 1.0 and self.softcap is None


def linear_loss(
    head: LanguageHead, hidden: torch.Tensor, targets: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """Return the cross-entropy, in nats, of hidden [K, D] and targets [K], summed, in fp32.

    At most `chunk` logits exist at a time (one position's, if V is more). The gradient can be taken
    once; there is none of the gradient.
    """
    weights = [weight for weight in head.parameters() if weight.requires_grad]
    if not torch.is_grad_enabled() or not (hidden.requires_grad or weights):
        sums = [chunk_loss(head, *part) for part in parts(head, hidden, targets, chunk)]
        return torch.stack(sums).sum() if sums else hidden.new_zeros((), dtype=torch.float32)
    if torch_does(head, hidden):
        linear = head.linear
        assert isinstance(linear, nn.Linear)
        return functional.linear_cross_entropy(
            hidden,
            linear.weight,
            targets,
            linear_bias=linear.bias,
            reduction="sum",
            options=torch.nn.LinearCrossEntropyOptions(
                batch_chunk_size=rows_of(head, chunk), chunking_method=None
            ),
        )
    return ChunkedLoss.apply(head, targets, chunk, hidden, *weights)  # pyright: ignore[reportReturnType]


def torch_does(head: LanguageHead, hidden: torch.Tensor) -> bool:
    """Whether torch's own function (2.13) gives this loss as exactly: in fp32, for a plain head.

    In bf16 it sums the losses in bf16, so that a step's loss has two digits.
    """
    return (
        hasattr(functional, "linear_cross_entropy")
        and head.is_plain
        and len(hidden) > 0
        and hidden.dtype == head.linear.weight.dtype == torch.float32
        and not torch.is_autocast_enabled(hidden.device.type)
    )


def rows_of(head: LanguageHead, chunk: int) -> int:
    """Return how many positions' logits are made at a time."""
    weight = next(head.parameters())
    return max(1, chunk // max(weight.shape))


def parts(
    head: LanguageHead, hidden: torch.Tensor, targets: torch.Tensor, chunk: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Cut hidden [K, D] and targets [K] into chunks."""
    if not len(hidden):
        return []
    rows = rows_of(head, chunk)
    return list(zip(hidden.split(rows), targets.split(rows), strict=True))


def chunk_loss(head: LanguageHead, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of one chunk, the plain way."""
    return functional.cross_entropy(head(hidden), targets, reduction="sum")


class ChunkedLoss(torch.autograd.Function):
    """`linear_loss` for any head: the gradient is found with the loss, chunk by chunk.

    The loss is a sum, so that its gradient is known up to the factor that `backward` is given.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        head: LanguageHead,
        targets: torch.Tensor,
        chunk: int,
        hidden: torch.Tensor,
        *weights: torch.Tensor,
    ) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        found = [torch.zeros_like(weight) for weight in weights]
        slices = []
        for states, ids in parts(head, hidden, targets, chunk):
            with torch.enable_grad():
                states = states.detach().requires_grad_()
                loss = chunk_loss(head, states, ids)
            of_states, *of_weights = torch.autograd.grad(loss, [states, *weights])
            slices.append(of_states)
            for whole, part in zip(found, of_weights, strict=True):
                whole += part
            total += loss.detach()
        gradient = torch.cat(slices) if slices else torch.zeros_like(hidden)
        ctx.save_for_backward(gradient, *found)
        return total

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, factor: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        gradients = [gradient * factor for gradient in ctx.saved_tensors]
        return None, None, None, *gradients
