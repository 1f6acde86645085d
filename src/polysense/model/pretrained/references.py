"""The LLM and the encoder that a checkpoint refers to: where they lie, and whether it is they.

A reference is a hub name, a folder, or a name below `references/`, which is relative to the
checkpoint's own folder: then it needs nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from polysense.atomic_write import replacing_folder
from polysense.config import ModelConfig
from polysense.errors import PolysenseError
from polysense.model.configuration import PolysenseConfig
from polysense.model.llm.input_embeddings import llm_fingerprint

REFERENCES = "references/"


def relocate(parts: ModelConfig, folder: Path, llm: str | None, encoder: str | None) -> ModelConfig:
    """Point the references at their place: as given, or inside the checkpoint's own folder."""

    def place(name: str, given: str | None) -> str:
        if given is not None:
            return given
        return str(folder / name) if name.startswith(REFERENCES) else name

    return replace(
        parts,
        llm=replace(parts.llm, name=place(parts.llm.name, llm)),
        encoder=replace(parts.encoder, name=place(parts.encoder.name, encoder)),
    )


def copy_references(parts: ModelConfig, folder: Path) -> ModelConfig:
    """Copy the frozen weights into `folder`/references and return parts that point there."""

    def copied(name: str, revision: str | None, place: str) -> str:
        if not name:  # no encoder
            return name
        source = Path(name).expanduser()
        if not source.exists():
            source = Path(snapshot_download(name, revision=revision))
        target = folder / REFERENCES / place
        if source.is_dir() and target.exists() and source.samefile(target):
            return f"{REFERENCES}{place}"
        if source.parent.resolve() == target.resolve():
            return f"{REFERENCES}{place}/{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(target) as scratch:
            if source.is_dir():
                shutil.copytree(source, scratch, dirs_exist_ok=True)
            else:
                shutil.copy2(source, scratch)
        return f"{REFERENCES}{place}" if source.is_dir() else f"{REFERENCES}{place}/{source.name}"

    llm = copied(parts.llm.name, parts.llm.revision, "llm")
    encoder = copied(parts.encoder.name, parts.encoder.revision, "encoder")
    return replace(
        parts,
        llm=replace(parts.llm, name=llm, revision=None),
        encoder=replace(parts.encoder, name=encoder, revision=None),
    )


def holds_references(parts: ModelConfig) -> bool:
    """Whether a checkpoint of these parts lies with all its frozen weights in one folder."""
    return all(
        not name or name.startswith(REFERENCES) for name in (parts.llm.name, parts.encoder.name)
    )


def fingerprints(model: Any, references: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the hashes of the referenced weights; trained ones keep the hash they started from.

    That is noted in the config, or is of the `references` themselves; a new model's are its own.
    """
    kept = {**(references or {}), **model.config.fingerprints}
    return {
        "llm": kept.get("llm") or llm_fingerprint(model.llm),
        "encoder": kept.get("encoder") or model.encoder.identity(),
    }


def check_fingerprints(model: Any, config: PolysenseConfig, folder: Path) -> None:
    """Check that the referenced weights are those the checkpoint was trained with."""
    found = {"llm": llm_fingerprint(model.llm), "encoder": model.encoder.identity()}
    names = {"llm": config.parts.llm.name, "encoder": config.parts.encoder.name}
    for part, expected in config.fingerprints.items():
        if found[part] != expected:
            raise PolysenseError(
                f"checkpoint {str(folder)!r} was trained with another {part} than the one at "
                f"{names[part]!r} (hash {expected}, found {found[part]}): "
                f"give the right one with --{part}"
            )
