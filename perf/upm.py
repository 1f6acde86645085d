"""The UPM's experts batched, against one after the other over all positions (OneLLM's release).

Forward and backward, equal outputs. The defaults are a quarter of the paper's width; --width 1024
--layers 8 --heads 16 are the paper's sizes (arXiv 2312.03700, section 3.2).
"""

from __future__ import annotations

import argparse

import torch
from measuring.measure import add_place, interleaved, medians, ratio, report
from measuring.pictures import draw_bars
from torch.nn import functional

from polysense.config import ConnectorConfig
from polysense.model.connectors.upm import ExpertBlock, UniversalProjection
from polysense.training.allocator import keep_freed_memory


def one_block(block: ExpertBlock, k: int, x: torch.Tensor) -> torch.Tensor:
    """Apply expert k of a block to x [N, T, E], at every position."""
    normed = functional.rms_norm(x, x.shape[-1:], block.attention_norm[k], 1e-5)
    query, key, value = (
        functional.linear(normed, weight[k]).unflatten(2, (block.heads, -1)).transpose(1, 2)
        for weight in (block.wq, block.wk, block.wv)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value)
    x = x + functional.linear(mixed.transpose(1, 2).flatten(2), block.wo[k])
    normed = functional.rms_norm(x, x.shape[-1:], block.ffn_norm[k], 1e-5)
    gated = functional.silu(functional.linear(normed, block.w1[k]))
    return x + functional.linear(gated * functional.linear(normed, block.w3[k]), block.w2[k])


def sequential(upm: UniversalProjection, features: torch.Tensor, modality: str) -> torch.Tensor:
    """Return what upm.project does, the release's way: experts in turn, cut to the queries last."""
    tokens = upm.tokens[modality].expand(len(features), -1, -1)
    inside = torch.cat([tokens, upm.input_projection[modality](features)], dim=1)
    weights = upm.routers[modality](tokens)
    mixed = torch.zeros_like(tokens)
    for k in range(upm.experts):
        x = inside
        for block in upm.blocks:
            assert isinstance(block, ExpertBlock)
            x = one_block(block, k, x)
        mixed = mixed + weights[..., k : k + 1] * x[:, : upm.queries]
    return upm.output_projection[modality](mixed)


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--experts", type=int, default=3)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--features", type=int, default=257)
    parser.add_argument("--signals", type=int, default=4)
    add_place(parser, repeats=2)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    config = ConnectorConfig(
        "upm",
        layers=options.layers,
        heads=options.heads,
        queries=options.queries,
        experts=options.experts,
    )
    place = {"device": options.device, "dtype": getattr(torch, options.dtype)}
    upm = UniversalProjection(config, ["a modality"], options.width, options.width, 1.0).to(**place)
    features = torch.randn(options.signals, options.features, options.width, **place)

    def run(project) -> torch.Tensor:
        upm.zero_grad(set_to_none=True)
        out = project(features, "a modality")
        out.square().sum().backward()
        return out.detach()

    ways = {
        "batched": lambda: run(upm.project),
        "sequential": lambda: run(lambda *given: sequential(upm, *given)),
    }
    outputs = {name: way() for name, way in ways.items()}
    runs = interleaved(ways, options.repeats, options.device)
    difference = (outputs["batched"] - outputs["sequential"]).abs().max()
    results = {
        "seconds": medians(runs),
        "ratio": ratio(runs, "sequential", "batched"),
        "largest_difference": float(difference / outputs["sequential"].abs().max()),
    }
    picture = report("upm", options, results)
    draw_bars(picture, "UPM, forward and backward", medians(runs), "seconds")


if __name__ == "__main__":
    main()
