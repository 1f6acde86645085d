"""What keeping freed memory saves (training/allocator.py): a words stage on point clouds.

How glibc treats freed blocks is set once a process, so each side runs in processes of its own, in
turn. Besides the seconds of a step stand the pages that the kernel had to give for it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median

import torch
from measuring.measure import add_place, medians, ratio, report
from measuring.models import add_sizes, some_llm, with_modalities
from measuring.pictures import draw_bars

from polysense.config import ConnectorConfig
from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.training.allocator import keep_freed_memory
from polysense.training.objectives import bag_of_words
from polysense.types import Batch

MODALITY = "point"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the settings, which the processes of the sides get too."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser, width=576, layers=1, vocabulary=49152)
    parser.add_argument("--features", type=int, default=1280, help="width of the tokens")
    parser.add_argument("--clouds", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    add_place(parser, repeats=3)
    parser.add_argument("--side", choices=["kept", "returned"], help=argparse.SUPPRESS)
    return parser


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Take some steps in this process; return median seconds and pages of one."""
    if options.side == "kept":
        keep_freed_memory()
    cloud = {"points": 1024, "groups": 48, "neighbours": 16}
    upm = ConnectorConfig("upm", width=256, layers=1, heads=4, queries=6, feedforward=512)
    llm = some_llm(options)
    model = with_modalities(llm, [MODALITY], upm, options.features, **{MODALITY: cloud})
    clouds = torch.randn(options.clouds, cloud["points"], 6)
    held = torch.full((options.clouds, 8), model.config.placeholders[MODALITY])
    said = torch.randint(llm.config.vocab_size, (options.clouds, 12))
    batch = Batch(
        input_ids=torch.cat([held, said], dim=1),
        labels=torch.cat([torch.full_like(held, IGNORED), said], dim=1),
        signals={MODALITY: clouds},
    ).to(options.device)
    trainable = [*model.connector.parameters(), *model.tokenizers.parameters()]
    optimizer = torch.optim.AdamW(trainable, fused=True)
    seconds, pages = [], []
    for _ in range(options.steps + 2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        bag_of_words(model, batch)[0].backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"seconds": median(seconds[2:]), "pages": median(pages[2:])}


def main() -> None:
    """Measure both sides in turn and print the ratio."""
    options = build_parser().parse_args()
    if options.side:
        print(json.dumps(measured(options)))
        return
    runs: dict[str, list[float]] = {"kept": [], "returned": []}
    pages: dict[str, list[float]] = {"kept": [], "returned": []}
    for _ in range(options.repeats):
        for side, seconds in runs.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            seconds.append(found["seconds"])
            pages[side].append(found["pages"])
    results = {
        "seconds": medians(runs),
        "pages": medians(pages),
        "ratio": ratio(runs, "returned", "kept"),
    }
    title = "A step of a words stage: freed memory kept, or returned"
    draw_bars(report("allocator", options, results), title, medians(runs), "seconds")


if __name__ == "__main__":
    main()
