"""Choosing points of a cloud: the farthest ones, and the nearest neighbours of some.

Farthest-point sampling (Eldar et al. 1997; PointNet++, arXiv 1706.02413, section 3.2) spreads
centres evenly over a shape however unevenly it was scanned. Its loop over centres cannot be avoided
- each choice depends on the one before - so everything inside a step runs over many clouds at once,
in buffers that are made beforehand. Letters: N clouds, P points, C centres, D coordinates.
"""

from __future__ import annotations

import numpy as np
import torch

from polysense.errors import PolysenseError

POINTS_IN_CACHE = 2**16  # of clouds that are sampled together on a processor: 2 MB of buffers
CHUNK_BYTES = 64 * 2**20  # of the distances that `nearest` holds at once


@torch.no_grad()
def farthest_points(xyz: torch.Tensor, count: int, start: int = 0) -> torch.Tensor:
    """Return indices [N, count] (int64) of points of `xyz` [N, P, D].

    Exact and greedy: the first is `start`; each next one maximises the squared distance to its
    nearest predecessor, and of equals the lowest index wins. Computed in float32. Raises
    PolysenseError where `count` or `start` lies outside the cloud.
    """
    points = xyz.shape[1]
    if not 1 <= count <= points or not 0 <= start < points:
        raise PolysenseError(
            f"farthest points: {count} from index {start} on, of a cloud of {points} points"
        )
    # One plane per coordinate: every operation of a step then runs over contiguous memory.
    planes = xyz.detach().float().permute(2, 0, 1)
    if xyz.device.type != "cpu":
        return farthest_by_torch(planes.contiguous(), count, start)
    together = max(1, POINTS_IN_CACHE // points)
    found = [
        farthest_by_numpy(part.numpy(), count, start) for part in planes.split(together, dim=1)
    ]
    return torch.from_numpy(np.concatenate(found))


def farthest_by_numpy(planes: np.ndarray, count: int, start: int) -> np.ndarray:
    """planes [D, N, P] -> indices [N, count]; on one core.

    On processors NumPy is faster than torch here: its calls cost less, its argmax is vectorised,
    and a step of some tens of microseconds is over before a second thread has begun (on a busy
    machine, torch's threads waiting for one another took a hundred times as long as the work).
    """
    axes, clouds, points = planes.shape
    planes = np.ascontiguousarray(planes)
    offset = np.empty_like(planes)
    squared, *others = offset
    separation = np.full((clouds, points), np.inf, np.float32)  # from the nearest one chosen
    # Row c holds the choice of step c for all clouds.
    chosen = np.full((count, clouds, 1), start, np.int64)
    flat, first = planes.reshape(axes, -1), points * np.arange(clouds)[:, None]
    for step in range(count - 1):
        np.subtract(planes, flat.take(chosen[step] + first, axis=1), out=offset)
        np.multiply(offset, offset, out=offset)
        for other in others:
            np.add(squared, other, out=squared)
        np.minimum(separation, squared, out=separation)
        np.argmax(separation, 1, keepdims=True, out=chosen[step + 1])
    return chosen[..., 0].T


def farthest_by_torch(planes: torch.Tensor, count: int, start: int) -> torch.Tensor:
    """planes [D, N, P] -> indices [N, count]; on a GPU."""
    axes, clouds, points = planes.shape
    offset, centre = torch.empty_like(planes), planes.new_empty(axes, clouds, 1)
    squared, *others = offset.unbind()
    separation = planes.new_full((clouds, points), torch.inf)
    chosen = torch.full((count, clouds, 1), start, dtype=torch.int64, device=planes.device)
    for step in range(count - 1):
        torch.gather(planes, 2, chosen[step].expand(axes, clouds, 1), out=centre)
        torch.sub(planes, centre, out=offset)
        offset.mul_(offset)
        for other in others:
            squared.add_(other)
        torch.minimum(separation, squared, out=separation)
        torch.argmax(separation, 1, keepdim=True, out=chosen[step + 1])
    return chosen[..., 0].T.contiguous()


@torch.no_grad()
def nearest(xyz: torch.Tensor, centres: torch.Tensor, k: int) -> torch.Tensor:
    """Return indices [N, C, k] (int64) of the `k` points of `xyz` [N, P, D] nearest to `centres`.

    `centres` [N, C, D]; nearest first, order among equals is left open. Distances are taken by
    differences, not by a matrix product, whose cancellation swaps close neighbours. At most about
    64 MB of distances are held at once (one row of centres at least).
    """
    points = xyz.shape[1]
    if not 1 <= k <= points:
        raise PolysenseError(f"{k} nearest neighbours wanted of a cloud of {points} points")
    xyz, centres = xyz.detach().float(), centres.detach().float()
    rows = max(1, CHUNK_BYTES // (4 * max(1, xyz.shape[0] * points)))
    found = [
        torch.cdist(part, xyz, compute_mode="donot_use_mm_for_euclid_dist")
        .topk(k, dim=2, largest=False)
        .indices
        for part in centres.split(rows, dim=1)
    ]
    return torch.cat(found, dim=1)


def gather_points(values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return `values` [N, P, V] at `indices` [N, ...] as [N, ..., V]."""
    flat = indices.flatten(1).unsqueeze(-1).expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).unflatten(1, indices.shape[1:])


@torch.no_grad()
def largest(rows: torch.Tensor, weight: torch.Tensor, bags: torch.Tensor) -> torch.Tensor:
    """Return which of rows [P, 6] each unit of `weight` [D, 6] answers most to, of bags [G, K].

    [G, D]. A 1x1 convolution is a linear map of each point, so all points are mapped once, before
    they are gathered. What comes after needs the winners alone: gradients of all mapped points,
    nearly all of them zero, would cost more than the rest of the tokenizer.
    """
    starts = torch.arange(0, bags.numel(), bags.shape[1], device=bags.device)
    return torch.embedding_bag(rows @ weight.T, bags.flatten(), starts, mode=2)[3]  # 2: maximum
