"""A model's weights, written as transformers' safetensors while they are being converted.

`save_pretrained` wants the whole model in memory; here one shard at a time is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

SHARD_BYTES = 2**30


def write_shards(
    folder: Path,
    blanks: Mapping[str, torch.Tensor],
    read: Callable[[str], torch.Tensor],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `read(name)` for every name of `blanks`, as model.safetensors or, of more than
    `shard_bytes`, as numbered shards with their index.

    `blanks` {name: meta tensor} says shapes and dtypes, by which the shards are planned. At most
    one shard is in memory (and one tensor, where that is larger).
    """
    plan = split_torch_state_dict_into_shards(
        dict(blanks), filename_pattern="model{suffix}.safetensors", max_shard_size=shard_bytes
    )
    folder.mkdir(parents=True, exist_ok=True)
    for file, names in plan.filename_to_tensors.items():
        tensors = {name: read(name).contiguous() for name in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
