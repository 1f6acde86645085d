"""Saving and loading: the checkpoint holds what was learnt, frozen weights are referenced.

`SaveLoadMixin` is mixed into the model and replaces transformers' from_pretrained, which knows
nothing of weights that live elsewhere. Loading is strict: every tensor must be known and every
learnt one present, and the LLM and the encoder found must be those the checkpoint was trained on.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from polysense.atomic_write import disk_errors, flush, flush_all
from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.modalities.custom import modality_sources
from polysense.model.configuration import PolysenseConfig
from polysense.model.pretrained.changed_weights import find_changes
from polysense.model.pretrained.loading_options import LoadingOptions
from polysense.model.pretrained.references import (
    check_fingerprints,
    copy_references,
    fingerprints,
    holds_references,
    relocate,
)
from polysense.model.trainable import own_names

WEIGHTS = "model.safetensors"


class SaveLoadMixin:
    """from_pretrained and save_pretrained for a model whose frozen parts are references."""

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        name: str | Path,
        *,
        llm: str | None = None,
        encoder: str | None = None,
        modalities: Sequence[str] = (),
        config: PolysenseConfig | None = None,
        **options: Any,
    ) -> Self:
        """Load a checkpoint from a folder (a run folder is one) or a hub name.

        `llm` and `encoder` say where the frozen weights lie now, if they have moved; `modalities`
        ("ecg.py", ...) where the files of a user's own senses do. `options` are transformers':
        dtype, device_map, attn_implementation, revision ...; what is not followed is an error.
        """
        chosen = LoadingOptions.read(options, Path(name).expanduser().is_dir())
        folder = checkpoint_folder(name, **chosen.hub)
        config = copy.deepcopy(config) if config else read_config(folder)
        parts = relocate(config.parts, folder, llm, encoder)
        parts = replace(parts, sources=modality_sources(parts.sources, modalities, name))
        parts = replace(parts, precision=chosen.precision or parts.precision)
        config.model = to_json(parts)
        attention = chosen.attention or config._attn_implementation  # AutoModel puts it there
        config._attn_implementation = None  # the LLM's matter, not this class's
        model: Any = cls(config)  # pyright: ignore[reportCallIssue]
        if attention is not None:
            set_attention(model.llm, attention)
        check_fingerprints(model, config, folder)
        load_own_weights(model, folder / WEIGHTS)
        if (folder / GENERATION_CONFIG_NAME).is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
        return model.eval().to(chosen.device or model.device)

    def trainable_state(self) -> dict[str, torch.Tensor]:
        """Return the tensors a checkpoint holds; of tied ones (word vectors) the first name."""
        return own_tensors(self.state_dict(), self.config.trainable)  # pyright: ignore[reportAttributeAccessIssue]

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        folder: str | Path,
        *,
        include_frozen: bool = False,
        push_to_hub: bool = False,
        is_main_process: bool = True,
        state_dict: dict[str, torch.Tensor] | None = None,
        **hub: Any,
    ) -> None:
        """Write config.json and model.safetensors; with `include_frozen`, the frozen weights as well.

        Written is what was learnt, and whatever else differs from the LLM and the encoder that the
        config names. Each file appears whole or not at all: it is written beside its place, then
        renamed. `state_dict` stands for the model's own, where that is spread over processes; only
        the main process writes. `hub` are arguments of push_to_hub; others are an error.
        """
        check_saving_options(hub, push_to_hub)
        if not is_main_process:
            return
        folder = Path(folder)
        config: PolysenseConfig = PolysenseConfig.from_dict(self.config.to_dict())  # pyright: ignore[reportAttributeAccessIssue]
        config.architectures = [type(self).__name__]
        state = state_dict or self.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
        changes = find_changes(self, relocate(config.parts, folder, None, None), config.trainable)
        config.trainable = [*config.trainable, *changes.names]
        config.fingerprints = fingerprints(self, changes.fingerprints)
        lora = changes.parts.llm.lora
        parts = replace(config.parts, llm=replace(config.parts.llm, lora=lora))
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if include_frozen:
                parts = copy_references(parts, folder)
            config.model, config.include_frozen = to_json(parts), holds_references(parts)
            write_files(folder, own_tensors(state, config.trainable), config, changes.generation)
        if push_to_hub:
            repo_id = hub.pop("repo_id", folder.name)
            self.push_to_hub(repo_id, **hub)  # pyright: ignore[reportAttributeAccessIssue]


def check_saving_options(hub: dict[str, Any], push_to_hub: bool) -> None:
    """Check that nothing was asked of `save_pretrained` that it would not do."""
    hub.pop("safe_serialization", None) if hub.get("safe_serialization") else None
    unknown = [name for name, value in hub.items() if value is not None]
    if unknown and not push_to_hub:
        raise PolysenseError(
            f"save_pretrained({unknown[0]}=...) is not possible: it writes one model.safetensors; "
            "arguments of push_to_hub need push_to_hub=True"
        )


def own_tensors(
    state: dict[str, torch.Tensor], trainable: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return the tensors of `state` that a checkpoint holds; of tied ones the first name."""
    by_memory: dict[int | str, str] = {}
    for name in own_names(state, trainable):
        # Empty tensors have no memory, so that all of them would be one.
        by_memory.setdefault(state[name].data_ptr() if state[name].numel() else name, name)
    return {name: state[name].detach().cpu().contiguous() for name in by_memory.values()}


def write_files(
    folder: Path, tensors: dict[str, torch.Tensor], config: PolysenseConfig, generation: Any
) -> None:
    """Write a checkpoint's files, config.json last, each whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
        save_file(tensors, Path(scratch) / WEIGHTS, metadata={"format": "pt"})
        config.save_pretrained(scratch)
        names = [WEIGHTS, "config.json"]
        if generation is not None:
            generation.save_pretrained(scratch)
            names.insert(1, GENERATION_CONFIG_NAME)
        flush_all(Path(scratch))
        for name in names:
            (Path(scratch) / name).replace(folder / name)
        if generation is None:
            (folder / GENERATION_CONFIG_NAME).unlink(missing_ok=True)
        flush(folder)


def set_attention(llm: Any, name: str) -> None:
    """Let the LLM attend by `name`; one that it or this machine has not is an error."""
    try:
        llm.set_attn_implementation(name)
    except (ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(
            f"from_pretrained(attn_implementation={name!r}) is not possible: {reason}"
        ) from error


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
        raise PolysenseError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if values.get("model_type") != PolysenseConfig.model_type:
        raise PolysenseError(
            f"{str(folder)!r} holds a model of type {values.get('model_type')!r}, not a Polysense "
            "checkpoint: give the folder of a run"
        )
    return PolysenseConfig.from_dict(values)


def load_own_weights(model: Any, path: Path) -> None:
    """Load model.safetensors strictly into the model."""
    if not path.is_file():
        raise PolysenseError(f"{str(path.parent)!r} has no {path.name}: the checkpoint is damaged")
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
