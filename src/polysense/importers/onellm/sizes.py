"""How large an OneLLM checkpoint is: read from the shapes of its tensors, as configs of our parts.

What no shape tells (heads, neighbours of a point) is the release's, unless the checkpoint says
otherwise, by the names that OneLLM's own code gives these numbers: in params.json beside the parts,
as LLaMA has it, or in the metadata of a safetensors file, as JSON under `config` and `clip`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.importers.onellm.names import PREFIX, VISUAL
from polysense.modalities import AudioModality

Shapes = Mapping[str, torch.Size]
LLAMA_HEAD = 128


@dataclass(frozen=True)
class Unwritten:
    """The numbers that no shape tells, by OneLLM's names, with those of the released 7B model.

    n_heads, norm_eps  of the LLM (None: heads of 128, as in LLaMA-2 of 7B and 13B)
    resample_heads     of the experts
    head_width         of CLIP's heads
    point_group        points of a neighbourhood
    """

    n_heads: int | None = None
    norm_eps: float = 1e-5
    resample_heads: int = 16
    head_width: int = 64
    point_group: int = 32

    @classmethod
    def said(cls, metadata: Mapping[str, str]) -> Unwritten:
        """Read what a checkpoint says about itself; PolysenseError where it cannot be."""
        values: dict[str, Any] = {}
        for key in ("config", "clip"):
            try:
                found = json.loads(metadata.get(key, "{}"))
            except json.JSONDecodeError as error:
                raise PolysenseError(f"the checkpoint's {key!r} is no JSON: {error}") from error
            values |= found if isinstance(found, dict) else {}
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        for name, value in known.items():
            if type(value) not in (int, float) or value <= 0:
                raise PolysenseError(f"the checkpoint says {name}={value!r}: it must be positive")
        return cls(**known)


def shape_of(shapes: Shapes, name: str) -> torch.Size:
    """Return the shape of a tensor that every OneLLM has."""
    if PREFIX + name not in shapes:
        raise PolysenseError(f"the checkpoint has no tensor {PREFIX + name}: it is no OneLLM")
    return shapes[PREFIX + name]


def matrix(shapes: Shapes, name: str) -> tuple[int, int]:
    """Return the sides of a tensor that has two."""
    shape = shape_of(shapes, name)
    if len(shape) != 2:
        raise PolysenseError(f"{PREFIX + name} has shape {list(shape)}, which is no matrix")
    return shape[0], shape[1]


def count(shapes: Shapes, pattern: str) -> int:
    """Return one more than the largest number in the place of "N" in names like `pattern`."""
    form = re.compile(re.escape(PREFIX + pattern).replace("N", r"(\d{1,4})"))
    return max((int(match[1]) + 1 for name in shapes if (match := form.match(name))), default=0)


def per_head(width: int, heads: int, name: str) -> int:
    """Return the width of a head; PolysenseError where `heads` does not divide `width`."""
    if width % heads:
        raise PolysenseError(f"the checkpoint's width {width} is no multiple of {name}={heads}")
    return width // heads


def llama_config(shapes: Shapes, unwritten: Unwritten) -> LlamaConfig:
    """Return the LLM as a config of transformers."""
    vocabulary, width = matrix(shapes, "tok_embeddings.weight")
    heads = unwritten.n_heads or max(1, width // LLAMA_HEAD)
    head = per_head(width, heads, "n_heads")
    if unwritten.n_heads is None and head != LLAMA_HEAD:
        raise PolysenseError(
            f"the checkpoint's LLM of width {width} has no heads of {LLAMA_HEAD}: say its "
            "n_heads in params.json beside it"
        )
    keys, _ = matrix(shapes, "layers.0.attention.wk.weight")
    feedforward, _ = matrix(shapes, "layers.0.feed_forward.w1.weight")
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feedforward,
        num_hidden_layers=count(shapes, "layers.N."),
        num_attention_heads=heads,
        num_key_value_heads=max(1, keys // head),
        max_position_embeddings=4096,  # LLaMA-2's
        rms_norm_eps=unwritten.norm_eps,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    )


def clip_config(shapes: Shapes, unwritten: Unwritten) -> CLIPVisionConfig:
    """Return CLIP's vision tower as a config of transformers, with OpenAI's QuickGELU."""
    convolution = shape_of(shapes, VISUAL + "conv1.weight")
    width, patch = convolution[0], convolution[-1]
    places, _ = matrix(shapes, VISUAL + "positional_embedding")
    side = round((places - 1) ** 0.5)
    if side * side != places - 1:
        raise PolysenseError(
            f"CLIP's {places} positions are no square of patches and a class token"
        )
    feedforward, _ = matrix(shapes, VISUAL + "transformer.resblocks.0.mlp.c_fc.weight")
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=feedforward,
        num_hidden_layers=count(shapes, VISUAL + "transformer.resblocks.N."),
        num_attention_heads=per_head(width, unwritten.head_width, "head_width"),
        image_size=side * patch,
        patch_size=patch,
        hidden_act="quick_gelu",
        architectures=["CLIPVisionModel"],
    )


def connector_config(shapes: Shapes, unwritten: Unwritten) -> ConnectorConfig:
    """Return the UPM: a router of sigmoids, which in the release reads the learned tokens."""
    feedforward, width = matrix(shapes, "resample_layers.0.0.feed_forward.w1.weight")
    per_head(width, unwritten.resample_heads, "resample_heads")
    return ConnectorConfig(
        "upm",
        width=width,
        layers=count(shapes, "resample_layers.0.N."),
        heads=unwritten.resample_heads,
        queries=shape_of(shapes, "resample_tokens.image")[-2],
        feedforward=feedforward,
        experts=count(shapes, "resample_layers.N."),
        router="sigmoid",
        router_input="tokens",
    )


def modality_options(shapes: Shapes, unwritten: Unwritten) -> dict[str, dict[str, Any]]:
    """Return {modality: options}: the sizes, and the release's own ways.

    Depth and normal maps come with their picture; regions of a cloud are made by its colours; the
    signals of IMU (m/s^2, rad/s) and fMRI stay in their units.
    """
    tokens = {
        modality: matrix(shapes, f"positional_embedding.{modality}")[0] - 1
        for modality in ("audio", "point", "imu", "fmri")
    }
    kernel = shape_of(shapes, "conv1.imu.weight")[-1]
    return {
        "image": {},
        "video": {},
        "audio": audio_options(shape_of(shapes, "conv1.audio.weight")[-1], tokens["audio"]),
        "point": {
            "groups": tokens["point"],
            "neighbours": unwritten.point_group,
            "fps_columns": "rgb",
        },
        "depth": {"pair": True},
        "normal": {"pair": True},
        "imu": {
            "samples": tokens["imu"] + kernel - 1,
            "kernel": kernel,
            "acceleration_scale": 1.0,
        },
        "fmri": {
            "voxels": matrix(shapes, "conv1.fmri.weight")[1],
            "tokens": tokens["fmri"],
            "normalise": "none",
        },
    }


def audio_options(kernel: int, tokens: int) -> dict[str, int]:
    """Return kernel and frames: the release's 1024, unless there are positions for fewer only.

    The stride drops a rest of frames, so the positions alone do not tell how many there are.
    """
    release = AudioModality()
    rows = (release.mel_bins - kernel) // release.stride + 1
    columns, rest = divmod(tokens, max(rows, 1))
    if rows < 1 or rest or not columns:
        raise PolysenseError(
            f"the checkpoint's {tokens} positions of audio are no multiple of the {rows} that "
            f"{release.mel_bins} mel bins give"
        )
    if (release.frames - kernel) // release.stride + 1 == columns:
        return {"kernel": kernel, "frames": release.frames}
    return {"kernel": kernel, "frames": (columns - 1) * release.stride + kernel}
