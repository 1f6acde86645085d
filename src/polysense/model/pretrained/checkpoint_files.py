"""A checkpoint's files: written as one, found, and read.

config.json and model.safetensors belong together, and a process may be killed between the two
renames that put them in place. So the weights carry their config in their header: where config.json
is of another save, that one counts.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from polysense.atomic_write import UNFINISHED, flush, flush_all
from polysense.config.older_version import check_version
from polysense.errors import PolysenseError
from polysense.model.configuration import PolysenseConfig

WEIGHTS = "model.safetensors"


def write_files(
    folder: Path,
    tensors: dict[str, torch.Tensor],
    config: PolysenseConfig,
    generation: GenerationConfig | None,
) -> None:
    """Write a checkpoint's files, each whole or not at all: the weights first, then the copies of
    what their header says."""
    header = {"config": "", "generation_config": ""}
    config.save_hash = None
    header["config"] = config.to_json_string()
    if generation is not None:
        header["generation_config"] = generation.to_json_string()
    config.save_hash = hashlib.sha256(json.dumps(header).encode()).hexdigest()[:16]
    header["save_hash"] = config.save_hash
    # Named so that `remove_unfinished` knows what a killed save left.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{WEIGHTS}{UNFINISHED}") as scratch:
        save_file(tensors, Path(scratch) / WEIGHTS, metadata={"format": "pt", **header})
        names = [WEIGHTS, CONFIG_NAME]
        config.save_pretrained(scratch)
        if generation is not None:
            generation.save_pretrained(scratch)
            names.insert(1, GENERATION_CONFIG_NAME)  # config.json last: it says that all are there
        flush_all(Path(scratch))
        for name in names:
            (Path(scratch) / name).replace(folder / name)
        if generation is None:
            (folder / GENERATION_CONFIG_NAME).unlink(missing_ok=True)
        flush(folder)


def read_header(folder: Path) -> dict[str, str]:
    """Return what the weights say of their save; nothing where an importer wrote them."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise PolysenseError(f"{str(folder)!r} has no {WEIGHTS}: the checkpoint is damaged")
    try:
        with safe_open(path, "pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise PolysenseError(f"{path} is damaged and cannot be read: {error}") from error


def matching_config(config: PolysenseConfig, folder: Path) -> PolysenseConfig:
    """Return `config`, or the one of the weights in `folder` where these are of another save."""
    header = read_header(folder)
    if header.get("save_hash") in (None, config.save_hash):
        return config
    return PolysenseConfig.from_dict(json.loads(header["config"]))


def matching_generation_config(config: PolysenseConfig, folder: Path) -> GenerationConfig | None:
    """Return the LLM's generation settings of a checkpoint; None where they are the LLM's own.

    As in `matching_config`, those of the weights count where the `config` read is of another save.
    """
    header = read_header(folder)
    if header.get("save_hash") not in (None, config.save_hash):
        values = header["generation_config"]
        return GenerationConfig.from_dict(json.loads(values)) if values else None
    if (folder / GENERATION_CONFIG_NAME).is_file():
        return GenerationConfig.from_pretrained(folder)
    return None


def checkpoint_folder(name: str | Path, **hub: Any) -> Path:
    """Return the local folder of a checkpoint; what looks like a hub name is downloaded, as `hub`
    (revision, token ...) says."""
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        unfinished = (folder / "run.json").is_file()
        hint = (
            "its training has not finished: run the same `polysense train` command again"
            if unfinished
            else "it holds no config.json"
        )
        raise PolysenseError(f"{str(folder)!r} is no Polysense checkpoint: {hint}")
    if (
        folder.is_absolute()
        or str(name).count("/") != 1
        or str(name).startswith((".", "~", "runs/"))
    ):
        raise PolysenseError(f"run {str(name)!r} does not exist: give the folder of a finished run")
    try:
        return Path(snapshot_download(str(name), **hub))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(
            f"run {str(name)!r} is no folder here and no checkpoint on the hub: {reason}"
        ) from error


def read_config(folder: Path) -> PolysenseConfig:
    """Read config.json of a checkpoint; one of another kind of model is an error."""
    try:
        values, _ = PolysenseConfig.get_config_dict(folder)
    except (OSError, ValueError) as error:
        raise PolysenseError(f"{folder / CONFIG_NAME} cannot be read: {error}") from error
    if values.get("model_type") != PolysenseConfig.model_type:
        raise PolysenseError(
            f"{str(folder)!r} holds a model of type {values.get('model_type')!r}, not a Polysense "
            "checkpoint: give the folder of a run"
        )
    check_version(values, folder / CONFIG_NAME)
    return PolysenseConfig.from_dict(values)


def load_own_weights(model: Any, path: Path) -> None:
    """Load model.safetensors strictly into the model."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise PolysenseError(f"{path} is damaged and cannot be read: {error}") from error
    expected = set(model.trainable_state())
    missing, unknown = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
    if missing or unknown:
        raise PolysenseError(
            f"{path} does not fit the model: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(unknown)} unknown {unknown[:3]}"
        )
    state = model.state_dict()
    wrong = [name for name, tensor in tensors.items() if state[name].shape != tensor.shape]
    if wrong:
        raise PolysenseError(f"{path}: tensors of another shape than the model's: {wrong[:3]}")
    model.load_state_dict(tensors, strict=False)
