"""How new weights begin: every initial scale, with its reason.

One rule: what a layer puts out begins as large as what it takes in. So a weight is drawn from
N(0, 1 / inputs), whatever the width. BERT's and LLaMA's N(0, 0.02) keep that at a thousand inputs
or more only: at the widths of laptops a signal would be nearly lost behind the biases and queries.
Exceptions, each where it is made:

    gates, differences (fusion)   0, so that the LLM begins as the one it was
    queries, latents (connectors) small or of unit size behind a norm, all different
    last layers                   the scale of the LLM's word embeddings (`scaled`)
    tags, marks                   at that scale too, since they stand among words
"""

from __future__ import annotations

import torch
from torch import nn


def unit_normal(*shape: int) -> nn.Parameter:
    """Return weights [..., out, in] from N(0, 1 / in), which keep the variance of their inputs."""
    return nn.Parameter(torch.randn(*shape) / shape[-1] ** 0.5)


def keep_variance(module: nn.Module) -> None:
    """Draw the weights of all linear layers in a module from N(0, 1 / inputs); biases begin at 0.

    Embeddings of words and positions begin at 0.02, as BERT's do: a norm follows them.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            init_scaled(part, 1.0)
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)


def init_scaled(layer: nn.Linear, scale: float) -> nn.Linear:
    """Initialise `layer` so that inputs of unit variance leave with standard deviation `scale`.

    Embeddings then begin as large as word embeddings, where the LLM's first layers are at home.
    """
    nn.init.normal_(layer.weight, std=scale / layer.in_features**0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
