"""What other processes hold, with gradients that find their way back.

The loop sums gradients over processes, each of its own loss; a loss that looks at another process's
tensor therefore sends its gradient there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed
from torch.nn import functional


class Gathering(torch.autograd.Function):
    """Every process's tensor, one after the other; backward sums what all made of one's own.

    torch.distributed.nn's is deprecated, and its successor is not in torch 2.11.
    """

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        """own [N, ...] -> [processes * N, ...]."""
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own.contiguous())
        ctx.rows = len(own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[processes * N, ...] -> [N, ...]."""
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        first = distributed.get_rank() * ctx.rows
        return total[first : first + ctx.rows]


def alone() -> bool:
    """Whether this process compares its samples among themselves.

    Without gradients too: held-out losses are taken by the first process, and nobody would answer.
    """
    several = distributed.is_available() and distributed.is_initialized()
    return not several or distributed.get_world_size() == 1 or not torch.is_grad_enabled()


def all_gather_with_grad(own: torch.Tensor) -> torch.Tensor:
    """own [N, ...] -> all processes' [W, ...], in the order of ranks; N is the same in all."""
    if alone():
        return own
    whole = Gathering.apply(own)
    assert isinstance(whole, torch.Tensor)
    return whole


def all_gather_rows(own: torch.Tensor) -> torch.Tensor:
    """ids or mask [N, L] -> [W, longest L of a process], short rows filled with 0 on the right."""
    if alone():
        return own
    longest = int(all_gather_with_grad(torch.tensor([own.shape[1]], device=own.device)).max())
    return all_gather_with_grad(functional.pad(own, (0, longest - own.shape[1])))


def first_row(rows: int) -> int:
    """Where this process's own `rows` begin in what was gathered."""
    return 0 if alone() else distributed.get_rank() * rows
