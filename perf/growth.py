"""How time and memory of a training step grow with what is put in.

A step is forward and backward of a connector (UPM) and a frozen LLM, rows packed. It grows by the
length of one sequence, by the samples of a step, and by the number of modalities that share the
same samples. A slope is the exponent of the fitted power: 1 is in proportion, 2 the square, 0 none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from measuring.measure import add_place, interleaved, medians, peak_bytes, report
from measuring.models import add_sizes, packed_batch, some_llm, with_modalities
from measuring.pictures import draw_growth

from polysense.config import ConnectorConfig
from polysense.modalities import MODALITIES
from polysense.model.polysense_model import PolysenseModel
from polysense.training.objectives import next_token
from polysense.types import Batch

FEATURES, POSITIONS = 64, 16  # width and number of a signal's features
UPM = ConnectorConfig("upm", layers=1, heads=4, queries=6, width=64)
SMALL = {"fmri": {"voxels": 64, "tokens": 4}, "point": {"groups": 8}}  # tokenizers are not used


def step(model: PolysenseModel, batch: Batch) -> Callable[[], None]:
    """Return forward and backward on a batch."""

    def run() -> None:
        model.connector.zero_grad(set_to_none=True)
        next_token(model, batch)[0].backward()

    return run


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the exponent of the power of the sizes that fits the values best."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def grown(steps: Mapping[int, Callable[[], Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Measure steps {size: step}: their points, and the slopes of seconds and of memory."""
    memory = {size: peak_bytes(one, options.device) / 2**20 for size, one in steps.items()}
    runs = interleaved(
        {str(size): one for size, one in steps.items()}, options.repeats, options.device
    )
    spent = medians(runs)
    points = [
        {"size": size, "seconds": spent[str(size)], "mebibytes": memory[size]} for size in steps
    ]
    slopes = {
        what: slope([point["size"] for point in points], [point[what] for point in points])
        for what in ("seconds", "mebibytes")
    }
    return {"points": points, "slopes": slopes}


def main() -> None:
    """Measure all three and print points and slopes."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser, width=256, layers=4, vocabulary=8192)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--samples", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--modalities", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--words", type=int, default=15, help="words of a sample")
    add_place(parser, repeats=3)
    options = parser.parse_args()
    llm = some_llm(options)
    one = with_modalities(llm, ["imu"], UPM, FEATURES)
    places = one.connector.num_embeddings(POSITIONS)
    growths = {
        "positions of a sequence": {
            length: step(one, packed_batch(one, 1, length - places, POSITIONS, length))
            for length in options.lengths
        },
        "samples of a step": {
            samples: step(one, packed_batch(one, samples, options.words, POSITIONS, 512))
            for samples in options.samples
        },
        "modalities of 16 samples": {
            count: step(several, packed_batch(several, 16, options.words, POSITIONS, 512))
            for count in options.modalities
            for several in [with_modalities(llm, list(MODALITIES)[:count], UPM, FEATURES, **SMALL)]
        },
    }
    found = {name: grown(steps, options) for name, steps in growths.items()}
    picture = report("growth", options, {"growth": found})
    draw_growth(picture, found)


if __name__ == "__main__":
    main()
