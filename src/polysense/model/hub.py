"""Weights by hub name or folder, and the dtype they compute in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from polysense.config import Precision
from polysense.errors import PolysenseError
from polysense.model.gguf import gguf_folder, is_gguf


def compute_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype matrices are multiplied in: bf16 where the chip has it, else fp32."""
    if precision == "auto":
        fast = torch.cuda.is_available() or (
            torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        )
        return torch.bfloat16 if fast else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]


def load_pretrained(
    what: str, loader: Callable[..., Any], name: str, revision: str | None, **options: Any
) -> Any:
    """Call a transformers `from_pretrained`; a folder or hub name that fails is a clear error.

    A GGUF file stands for the folder that it is unpacked to, once.
    """
    if is_gguf(name):
        name = str(gguf_folder(name))
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists()
    if looks_local and not (Path(name).expanduser() / "config.json").is_file():
        raise PolysenseError(
            f"{what} {name!r} is not a model folder (no config.json there): "
            "give a hub name or the folder that save_pretrained wrote"
        )
    try:
        return loader(
            str(Path(name).expanduser()) if looks_local else name, revision=revision, **options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        here = "" if looks_local else "; nor is a folder of this name here"
        raise PolysenseError(f"{what} {name!r} could not be loaded: {reason}{here}") from error
