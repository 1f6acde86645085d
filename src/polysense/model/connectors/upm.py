"""OneLLM's universal projection module (arXiv 2312.03700, section 3.2): soft-routed experts.

Each modality has its input and output projection, learned query tokens, a router and two tags; all
share K experts, small transformers. The experts run batched (their weights are stacked), and their
last block computes the query positions only, which are all that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.connectors.base import Connector, head_width
from polysense.model.initialization import init_scaled, unit_normal


def feedforward_width(width: int) -> int:
    """LLaMA's rule: two thirds of 4 E, rounded up to a multiple of 256 (2816 at E = 1024)."""
    return -(-(8 * width // 3) // 256) * 256


def each(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Apply expert k's weight [K, out, in] to its inputs x [K, N, T, in].

    On a CPU one after the other, all cores at each: in a batched product every core has experts of
    its own, and some have nothing to do at last (measured 1.2 times slower, 3 experts on 2 cores).
    """
    if x.device.type == "cpu":
        return torch.stack([functional.linear(*pair) for pair in zip(x, weight, strict=True)])
    return torch.einsum("knti,koi->knto", x, weight)


class ExpertBlock(nn.Module):
    """One LLaMA-kind block of all K experts: RMSNorm, attention without rotary, SwiGLU, no bias."""

    def __init__(self, experts: int, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.Parameter(torch.ones(experts, width))
        self.wq, self.wk, self.wv, self.wo = (unit_normal(experts, width, width) for _ in range(4))
        self.ffn_norm = nn.Parameter(torch.ones(experts, width))
        self.w1, self.w3 = unit_normal(experts, hidden, width), unit_normal(experts, hidden, width)
        self.w2 = unit_normal(experts, width, hidden)

    def forward(self, x: torch.Tensor, kept: int | None = None) -> torch.Tensor:
        """x [K, N, T, E] -> [K, N, kept or T, E]; every position attends to all T."""
        normed = self._norm(x, self.attention_norm)
        rows = slice(0, kept)
        query = self._split(each(normed[:, :, rows], self.wq))
        key, value = (self._split(each(normed, weight)) for weight in (self.wk, self.wv))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])
        x = x[:, :, rows] + each(mixed, self.wo)
        normed = self._norm(x, self.ffn_norm)
        gated = functional.silu(each(normed, self.w1)) * each(normed, self.w3)
        return x + each(gated, self.w2)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """[K, N, T, E] -> [K N, heads, T, E / heads]."""
        return x.flatten(0, 1).unflatten(2, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, x.shape[-1:], eps=1e-5) * weight[:, None, None]


class Router(nn.Module):
    """E -> 4E -> K with GELU, and how its outputs become the experts' weights."""

    def __init__(self, width: int, experts: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.experts = experts
        if kind != "constant":
            self.fc1 = nn.Linear(width, 4 * width)
            self.fc2 = nn.Linear(4 * width, experts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., E] -> weights [..., K].

        sigmoid   normalised sigmoids (the release)     softmax   the paper
        constant  1 / K                                 sparse    the largest softmax alone, with
                                                                  its own value as weight
        """
        if self.kind == "constant":
            return x.new_full((*x.shape[:-1], self.experts), 1 / self.experts)
        logits = self.fc2(functional.gelu(self.fc1(x)))
        if self.kind == "sigmoid":
            weights = torch.sigmoid(logits)
            return weights / weights.sum(dim=-1, keepdim=True)
        weights = torch.softmax(logits, dim=-1)
        if self.kind == "sparse":
            top = weights.argmax(dim=-1, keepdim=True)
            weights = torch.zeros_like(weights).scatter(-1, top, weights.gather(-1, top))
        return weights


class UniversalProjection(Connector):
    """features [N, F, E] -> [N, queries + 2, D]: start tag, projected queries, end tag."""

    tags = 1

    def __init__(
        self,
        config: ConnectorConfig,
        modalities: Sequence[str],
        encoder_width: int,
        llm_width: int,
        scale: float,
    ) -> None:
        super().__init__()
        layers, heads, queries = config.layers or 8, config.heads or 16, config.queries or 30
        width = config.width or encoder_width
        head_width(width, heads, "the experts' width")
        if config.shared:
            raise PolysenseError(
                "connector.shared=true does not go with the UPM, whose experts are shared already"
            )
        self.queries, self.experts = queries, config.experts
        self.router_input = config.router_input
        hidden = config.feedforward or feedforward_width(width)
        self.blocks = nn.ModuleList(
            ExpertBlock(config.experts, width, heads, hidden) for _ in range(layers)
        )
        self.tokens = nn.ParameterDict()
        self.start_tag, self.end_tag = nn.ParameterDict(), nn.ParameterDict()
        self.input_projection, self.output_projection = nn.ModuleDict(), nn.ModuleDict()
        self.routers = nn.ModuleDict()
        for name in modalities:
            self.tokens[name] = nn.Parameter(torch.randn(queries, width) * 0.02)
            self.start_tag[name] = nn.Parameter(torch.rand(llm_width) * scale)
            self.end_tag[name] = nn.Parameter(torch.rand(llm_width) * scale)
            self.input_projection[name] = nn.Sequential(
                nn.Linear(encoder_width, width), nn.LayerNorm(width)
            )
            out = nn.Sequential(
                init_scaled(nn.Linear(width, llm_width), 1.0), nn.LayerNorm(llm_width)
            )
            nn.init.constant_(out[1].weight, scale)  # pyright: ignore[reportArgumentType]
            self.output_projection[name] = out
            self.routers[name] = Router(width, config.experts, config.router)

    def num_embeddings(self, positions: int) -> int:
        """The queries and two tags, however many features there are."""
        return self.queries + 2 * self.tags

    def forward(self, features: torch.Tensor, modality: str) -> torch.Tensor:
        """Project, mix, and put the tags around."""
        mixed = self.project(features, modality)
        count = len(mixed)
        start = self.start_tag[modality].expand(count, 1, -1)
        end = self.end_tag[modality].expand(count, 1, -1)
        return torch.cat([start, mixed, end], dim=1)

    def project(self, features: torch.Tensor, modality: str) -> torch.Tensor:
        """features [N, F, E] -> [N, queries, D], without tags."""
        tokens = self.tokens[modality].expand(len(features), -1, -1)
        projected = self.input_projection[modality](features)
        inside = torch.cat([tokens, projected], dim=1)
        x = inside.expand(self.experts, -1, -1, -1)
        for block in self.blocks[:-1]:
            x = block(x)
        x = self.blocks[-1](x, self.queries)
        read = tokens if self.router_input == "tokens" else projected.mean(dim=1, keepdim=True)
        weights = self.routers[modality](read)  # [N, queries or 1, K]
        mixed = torch.einsum("knqe,nqk->nqe", x, weights.expand(-1, self.queries, -1))
        return self.output_projection[modality](mixed)

    def routing(self, modality: str, features: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean weight [K] that each expert has for `modality`.

        A router that reads features has no weights without some: give features [N, F, E], or get
        NaN. One that reads the tokens gives the same weights whatever the features are.
        """
        router = self.routers[modality]
        if self.router_input == "tokens":
            return router(self.tokens[modality]).mean(dim=0)
        if features is None:
            return self.tokens[modality].new_full((self.experts,), float("nan"))
        return router(self.input_projection[modality](features).mean(dim=1)).mean(dim=0)

    @torch.no_grad()
    def copy_expert(self, source: int = 0) -> None:
        """Let every expert start from expert `source` (paper: the image expert's)."""
        for block in self.blocks:
            for weight in block.parameters():
                weight.copy_(weight[source : source + 1].expand_as(weight).clone())
