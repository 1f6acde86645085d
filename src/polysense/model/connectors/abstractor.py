"""C-Abstractor: convolutions around a pooling that keeps neighbours together (Honeybee)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from polysense.model.connectors.base import Branch, OutputProjection, square_side


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map [N, C, h, w], place by place."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normed map, of the same shape."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ConvolutionBlock(nn.Module):
    """A residual block: 1x1, depthwise 3x3, channels weighed by their means, 1x1; SiLU between.

    It is RegNet's bottleneck block with squeeze-and-excitation, as Honeybee uses it: of full width
    inside, with LayerNorm for batch norm.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        squeezed = max(1, width_in // 4)
        self.before = nn.Sequential(
            nn.Conv2d(width_in, width, 1, bias=False),
            ChannelNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            ChannelNorm(width),
            nn.SiLU(),
        )
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )
        self.after = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), ChannelNorm(width))
        self.shortcut = (
            nn.Identity()
            if width_in == width
            else nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), ChannelNorm(width))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, width_in, h, w] -> [N, width, h, w]."""
        mixed = self.before(x)
        mixed = self.after(mixed * self.weigh(mixed))
        return functional.silu(mixed + self.shortcut(x))


def convolution_stage(width_in: int, width: int, layers: int) -> nn.Sequential:
    """`layers` blocks in a row, the first of which brings width_in to width."""
    widths = [width_in] + [width] * layers
    return nn.Sequential(*(ConvolutionBlock(a, b) for a, b in pairwise(widths)))


class ConvolutionalAbstractor(Branch):
    """features [N, F, E] of a square grid -> [N, queries, D]: convolve, pool, convolve, project.

    Honeybee adds learned positions, which fix F; we leave them out (encoders have put theirs in,
    and a padded convolution knows the borders), so that any square grid will do.
    """

    def __init__(
        self,
        encoder_width: int,
        output_projection: OutputProjection,
        width: int = 1024,
        layers: int = 3,
        queries: int = 144,
    ) -> None:
        super().__init__()
        self.side = square_side(queries, f"the abstractor with connector.queries={queries}")
        self.feature_norm = nn.LayerNorm(encoder_width)
        self.fine = convolution_stage(encoder_width, width, layers)
        self.coarse = convolution_stage(width, width, layers)
        self.output_projection = output_projection(width)

    def num_embeddings(self, positions: int) -> int:
        """The pooled grid's places; the features must be a square grid."""
        square_side(positions, "the abstractor")
        return self.side**2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Abstract the grid; raises PolysenseError where F is no square."""
        side = square_side(features.shape[1], "the abstractor")
        grid = self.feature_norm(features).transpose(1, 2).unflatten(2, (side, side))
        grid = functional.adaptive_avg_pool2d(self.fine(grid), self.side)
        return self.output_projection(self.coarse(grid).flatten(2).transpose(1, 2))
