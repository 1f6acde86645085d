"""Peak memory and time of the loss at a large vocabulary: ours against transformers' own.

In: the last hidden states of T positions, half of them labelled (a caption's share), and the LLM's
head. Out: the loss and the gradient of the hidden states. Each path runs in a process of its own,
so that neither finds memory that the other has left.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch
from measuring.measure import (
    add_place,
    available_bytes,
    interleaved,
    medians,
    peak_bytes,
    report,
)
from measuring.pictures import draw_bars
from torch import nn
from transformers.loss.loss_utils import ForCausalLMLoss

from polysense.model.llm.linear_cross_entropy import LanguageHead, linear_loss


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the settings, which the two processes get too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=131_072)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--labelled", type=float, default=0.5, help="share of positions with labels"
    )
    parser.add_argument("--trainable", action="store_true", help="the head learns too")
    add_place(parser, repeats=1)
    parser.add_argument("--path", choices=["ours", "transformers"], help=argparse.SUPPRESS)
    return parser


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Measure one path in this process."""
    torch.manual_seed(0)
    place = {"device": options.device, "dtype": getattr(torch, options.dtype)}
    linear = nn.Linear(options.width, options.vocabulary, bias=False, **place)
    linear.requires_grad_(options.trainable)
    hidden = torch.randn(1, options.tokens, options.width, **place)
    labels = torch.randint(options.vocabulary, (1, options.tokens), device=options.device)
    labels[:, : round(options.tokens * (1 - options.labelled))] = -100
    targets = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)

    def ours(states: torch.Tensor) -> torch.Tensor:
        here = targets != -100
        return linear_loss(LanguageHead(linear), states[here], targets[here]) / here.sum()

    def transformers(states: torch.Tensor) -> torch.Tensor:
        return ForCausalLMLoss(linear(states), labels, options.vocabulary)

    def run() -> float:
        linear.zero_grad(set_to_none=True)
        states = hidden.clone().requires_grad_()
        loss = {"ours": ours, "transformers": transformers}[options.path](states)
        loss.backward()
        return float(loss.detach())

    peak = peak_bytes(run, options.device)
    spent = medians(interleaved({"run": run}, options.repeats, options.device))["run"]
    return {"loss": run(), "peak": peak, "seconds": spent}


def main() -> None:
    """Measure both paths and print the ratios."""
    options = build_parser().parse_args()
    if options.path:
        print(json.dumps(measured(options)))
        return
    needed = 16 * options.tokens * options.vocabulary  # logits, their log, and both gradients
    if needed > available_bytes(options.device):
        sys.exit(
            f"transformers' loss would need about {needed / 2**30:.0f} GiB and "
            f"{available_bytes(options.device) / 2**30:.0f} are free: lower --tokens"
        )
    found = {}
    for path in ("ours", "transformers"):
        command = [sys.executable, __file__, *sys.argv[1:], "--path", path]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[path] = json.loads(output.splitlines()[-1])
    mebibytes = {path: values["peak"] / 2**20 for path, values in found.items()}
    results = {
        "peak_mebibytes": mebibytes,
        "seconds": {path: values["seconds"] for path, values in found.items()},
        "peak_ratio": found["ours"]["peak"] / found["transformers"]["peak"],
        "speed_ratio": found["transformers"]["seconds"] / found["ours"]["seconds"],
        "relative_loss_difference": abs(found["ours"]["loss"] / found["transformers"]["loss"] - 1),
    }
    picture = report("loss", options, results)
    draw_bars(picture, "Peak memory of the loss", mebibytes, "MiB")


if __name__ == "__main__":
    main()
