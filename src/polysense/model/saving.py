"""Saving and loading: the checkpoint holds what was learnt, frozen weights are referenced.

`Checkpointing` is mixed into the model and replaces transformers' from_pretrained, which knows
nothing of weights that live elsewhere. Loading is strict: every tensor must be known and every
learnt one present, and the LLM and the encoder found must be those the checkpoint was trained on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polysense.config import ModelConfig
from polysense.errors import PolysenseError
from polysense.modalities.sense_files import sense_sources
from polysense.model.configuration import PolysenseConfig
from polysense.model.llm import llm_fingerprint
from polysense.model.selection import own_names
from polysense.overrides import to_json

WEIGHTS = "model.safetensors"


class Checkpointing:
    """from_pretrained and save_pretrained for a model whose frozen parts are references."""

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        name: str | Path,
        *,
        llm: str | None = None,
        encoder: str | None = None,
        senses: Sequence[str] = (),
        config: PolysenseConfig | None = None,
        **_: Any,
    ) -> Self:
        """Load a checkpoint from a folder (a run folder is one) or a hub name.

        `llm` and `encoder` say where the frozen weights lie now, if they have moved; `senses`
        ("ecg.py", ...) where the files of a user's own senses do.
        """
        folder = checkpoint_folder(name)
        config = config or read_config(folder)
        parts = relocate(config.parts, folder, llm, encoder)
        parts = replace(parts, sources=sense_sources(parts.sources, senses, name))
        config.model = to_json(parts)
        model = cls(config)  # pyright: ignore[reportCallIssue]
        check_fingerprints(model, config, folder)
        load_own_weights(model, folder / WEIGHTS)
        return model.eval()  # pyright: ignore[reportAttributeAccessIssue]

    def own_state(self) -> dict[str, torch.Tensor]:
        """Return the tensors a checkpoint holds; of tied ones (word vectors) the first name."""
        state = self.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
        by_memory: dict[int, str] = {}
        for name in own_names(state, self.config.learnt):  # pyright: ignore[reportAttributeAccessIssue]
            by_memory.setdefault(state[name].data_ptr(), name)
        return {name: state[name].detach().cpu().contiguous() for name in by_memory.values()}

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, folder: str | Path, *, complete: bool = False, push_to_hub: bool = False, **hub: Any
    ) -> None:
        """Write config.json and model.safetensors; with `complete`, the frozen weights as well.

        Each file appears whole or not at all: it is written beside its place, then renamed.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = PolysenseConfig.from_dict(self.config.to_dict())  # pyright: ignore[reportAttributeAccessIssue]
        config.architectures = [type(self).__name__]
        config.fingerprints = fingerprints(self)
        if complete:
            config.model = to_json(copy_references(config.parts, folder))
            config.complete = True
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            save_file(self.own_state(), Path(scratch) / WEIGHTS, metadata={"format": "pt"})
            config.save_pretrained(scratch)
            for name in (WEIGHTS, "config.json"):
                (Path(scratch) / name).replace(folder / name)
        if push_to_hub:
            repo_id = hub.pop("repo_id", folder.name)
            self.push_to_hub(repo_id, **hub)  # pyright: ignore[reportAttributeAccessIssue]


def checkpoint_folder(name: str | Path) -> Path:
    """Return the local folder of a checkpoint; what looks like a hub name is downloaded."""
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
        return Path(snapshot_download(str(name)))
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


def relocate(parts: ModelConfig, folder: Path, llm: str | None, encoder: str | None) -> ModelConfig:
    """Point the references at their place: as given, or inside the checkpoint's own folder."""

    def place(name: str, given: str | None) -> str:
        if given is not None:
            return given
        return str(folder / name) if name.startswith("references/") else name

    return replace(
        parts,
        llm=replace(parts.llm, name=place(parts.llm.name, llm)),
        encoder=replace(parts.encoder, name=place(parts.encoder.name, encoder)),
    )


def copy_references(parts: ModelConfig, folder: Path) -> ModelConfig:
    """Copy the frozen weights into `folder`/references and return parts that point there."""

    def copy(name: str, revision: str | None, place: str) -> str:
        if not name:  # no encoder
            return name
        source = Path(name).expanduser()
        if not source.exists():
            source = Path(snapshot_download(name, revision=revision))
        target = folder / "references" / place
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
            return f"references/{place}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        return f"references/{place}/{source.name}"

    llm = copy(parts.llm.name, parts.llm.revision, "llm")
    encoder = copy(parts.encoder.name, parts.encoder.revision, "encoder")
    return replace(
        parts,
        llm=replace(parts.llm, name=llm, revision=None),
        encoder=replace(parts.encoder, name=encoder, revision=None),
    )


def fingerprints(model: Any) -> dict[str, str]:
    """Return the hashes of the referenced weights; learnt ones keep the hash they started from."""
    kept = dict(model.config.fingerprints)
    return {
        "llm": kept.get("llm") or llm_fingerprint(model.llm),
        "encoder": kept.get("encoder") or model.encoder.fingerprint(),
    }


def check_fingerprints(model: Any, config: PolysenseConfig, folder: Path) -> None:
    """Check that the referenced weights are those the checkpoint was trained with."""
    found = {"llm": llm_fingerprint(model.llm), "encoder": model.encoder.fingerprint()}
    names = {"llm": config.parts.llm.name, "encoder": config.parts.encoder.name}
    for part, expected in config.fingerprints.items():
        if found[part] != expected:
            raise PolysenseError(
                f"checkpoint {str(folder)!r} was trained with another {part} than the one at "
                f"{names[part]!r} (hash {expected}, found {found[part]}): "
                f"give the right one with --{part}"
            )


def load_own_weights(model: Any, path: Path) -> None:
    """Load model.safetensors strictly into the model."""
    if not path.is_file():
        raise PolysenseError(f"{str(path.parent)!r} has no {path.name}: the checkpoint is damaged")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise PolysenseError(f"{path} is damaged and cannot be read: {error}") from error
    expected = set(model.own_state())
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
