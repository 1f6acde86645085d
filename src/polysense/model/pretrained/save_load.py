"""Saving and loading: the checkpoint holds what was trained, frozen weights are referenced.

`SaveLoadMixin` is mixed into the model and replaces transformers' from_pretrained, which knows
nothing of weights that live elsewhere. Loading is strict: every tensor must be known and every
trained one present, and the LLM and the encoder found must be those the checkpoint was trained on.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch

from polysense.atomic_write import disk_errors
from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.modalities.custom import modality_sources
from polysense.model.configuration import PolysenseConfig
from polysense.model.pretrained.changed_weights import find_changes
from polysense.model.pretrained.checkpoint_files import (
    WEIGHTS,
    checkpoint_folder,
    load_own_weights,
    matching_config,
    matching_generation_config,
    read_config,
    write_files,
)
from polysense.model.pretrained.loading_options import LoadingOptions
from polysense.model.pretrained.references import (
    check_fingerprints,
    copy_references,
    fingerprints,
    holds_references,
    relocate,
)
from polysense.model.trainable import own_names


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
        ("ecg.py", ...) where the files of a user's own modalities do. `options` are transformers':
        dtype, device_map, attn_implementation, revision ...; what is not followed is an error.
        """
        chosen = LoadingOptions.read(options, Path(name).expanduser().is_dir())
        folder = checkpoint_folder(name, **chosen.hub)
        read = config or read_config(folder)
        config = copy.deepcopy(matching_config(read, folder))
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
        generation_config = matching_generation_config(read, folder)
        if generation_config is not None:
            model.generation_config = generation_config
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
        """Write config.json and model.safetensors; with `include_frozen`, all weights.

        Written is what was trained, and whatever else differs from the LLM and the encoder that the
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


def set_attention(llm: Any, name: str) -> None:
    """Let the LLM attend by `name`; one that it or this machine has not is an error."""
    try:
        llm.set_attn_implementation(name)
    except (ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(
            f"from_pretrained(attn_implementation={name!r}) is not possible: {reason}"
        ) from error
