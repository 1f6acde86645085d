"""Farthest-point sampling against a plain loop in Python and NumPy, one cloud after the other.

The loop is the definition (PointNet++, arXiv 1706.02413, section 3.2), equal in every index.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measuring.measure import add_place, interleaved, medians, ratio, report
from measuring.pictures import draw_bars

from polysense.modalities.transforms.farthest_points import farthest_points


def plain_loop(clouds: np.ndarray, count: int) -> np.ndarray:
    """clouds [N, P, 3] -> indices [N, count] of the farthest points, from the first point on."""
    found = np.zeros((len(clouds), count), np.int64)
    for row, cloud in enumerate(clouds):
        separation = np.full(len(cloud), np.inf, np.float32)
        for step in range(1, count):
            offset = cloud - cloud[found[row, step - 1]]
            separation = np.minimum(separation, (offset**2).sum(axis=1))
            found[row, step] = separation.argmax()
    return found


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clouds", type=int, default=8)
    parser.add_argument("--points", type=int, default=8192)
    parser.add_argument("--centres", type=int, default=1024)
    add_place(parser, repeats=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    clouds = torch.rand(options.clouds, options.points, 3)
    array, placed = clouds.numpy(), clouds.to(options.device)
    ways = {
        "polysense": lambda: farthest_points(placed, options.centres),
        "plain loop": lambda: plain_loop(array, options.centres),
    }
    same = np.array_equal(ways["polysense"]().cpu().numpy(), ways["plain loop"]())
    runs = interleaved(ways, options.repeats, options.device)
    results = {
        "seconds": medians(runs),
        "ratio": ratio(runs, "plain loop", "polysense"),
        "equal_indices": same,
    }
    picture = report("points", options, results)
    draw_bars(picture, "Farthest-point sampling", medians(runs), "seconds")


if __name__ == "__main__":
    main()
