"""Which LLM and encoder weights differ from those a checkpoint refers to.

A checkpoint names its frozen weights and holds the others. What the stages trained is noted, but a
loop of one's own notes nothing. So saving loads what loading will load, and compares: every tensor
that differs goes into the checkpoint, and what could not come back is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from polysense.config import ModelConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.build import build_encoder
from polysense.model.hub import compute_dtype
from polysense.model.llm.adapters import adapter_layers, check_adapters
from polysense.model.llm.input_embeddings import llm_fingerprint
from polysense.model.llm.load import load_llm
from polysense.model.trainable import is_lora, own_names

Tensors = dict[str, torch.Tensor]


@dataclass
class Changes:
    """What a model has that its references have not.

    parts         the model's parts as they are now: without LoRA, where that was merged for good
    names         tensors that differ, as patterns for `PolysenseConfig.trainable`
    fingerprints  {"llm": hash, "encoder": hash} of the references that were loaded
    generation    the LLM's generation_config, where it is another than the reference's
    """

    parts: ModelConfig
    names: list[str] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    generation: Any = None


def find_changes(model: Any, parts: ModelConfig, trainable: Sequence[str]) -> Changes:
    """Compare `model` with its references, at the places that `parts` names.

    A part on the meta device has no weights, so that none can have changed. Raises PolysenseError
    where a reference cannot be loaded, or a change is of a kind that loading cannot repeat.
    """
    check_adapters(model)
    if parts.llm.lora is not None and not adapter_layers(model.llm):
        parts = replace(parts, llm=replace(parts.llm, lora=None))
    changes, dtype = Changes(parts), compute_dtype(parts.precision)
    loaders: dict[str, Callable[[], Any]] = {
        "llm": lambda: load_llm(parts.llm, dtype),
        "encoder": lambda: build_encoder(parts.encoder, dtype),
    }
    for part, load in loaders.items():
        state = getattr(model, part).state_dict()
        if not state or any(tensor.is_meta for tensor in state.values()):
            continue
        reference = load_reference(part, load)
        changes.names += changed_names(part, state, reference.state_dict(), trainable)
        if part == "encoder":
            changes.fingerprints[part] = reference.identity()
            continue
        changes.fingerprints[part] = llm_fingerprint(reference)
        now = model.llm.generation_config
        if now.to_dict() != reference.generation_config.to_dict():
            changes.generation = now
    return changes


def load_reference(part: str, load: Callable[[], Any]) -> Any:
    """Load a part anew, on the CPU; random numbers (of a new LoRA) are drawn aside."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return load()
    except PolysenseError as error:
        raise PolysenseError(
            f"saving compares the {part} with the one it refers to, which cannot be loaded: {error}"
        ) from error


def changed_names(
    part: str, state: Tensors, reference: Tensors, trainable: Sequence[str]
) -> list[str]:
    """Return the tensors of a part that differ from its reference's and are not `trainable`.

    `part` alone, where all do. Raises PolysenseError where they differ in name, shape or ties.
    """
    unknown = sorted(state.keys() ^ reference.keys())
    reshaped = [n for n in state if n in reference and state[n].shape != reference[n].shape]
    if other := [*unknown, *reshaped]:
        raise PolysenseError(
            f"the {part} is not built any more as the one it refers to ({part}.{other[0]} and "
            f"{len(other) - 1} more tensors differ in name or shape): save it to a folder of its "
            "own, and build the model on that"
        )
    check_ties(part, state, reference)
    frozen = [name for name in state if not own_names([f"{part}.{name}"], trainable)]
    changed = [name for name in frozen if not is_same(state[name], reference[name])]
    if changed and len(changed) == len([name for name in state if not is_lora(name)]):
        return [part]
    return [f"{part}.{name}" for name in changed]


def check_ties(part: str, state: Tensors, reference: Tensors) -> None:
    """Check that tensors which are one in the reference (word vectors, head) are one here too, and
    that no others are: loading could not tell them apart."""
    for tensors, others in ((reference, state), (state, reference)):
        together: dict[int, str] = {}
        for name, tensor in tensors.items():
            first = together.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
            if not is_same(others[name], others[first]):
                raise PolysenseError(
                    f"{part}.{first} and {part}.{name} are tied in the model or in the {part} it "
                    "refers to, and not in the other: save it to a folder of its own, and build "
                    "the model on that"
                )


def is_same(now: torch.Tensor, reference: torch.Tensor) -> bool:
    """Whether a tensor holds the reference's values; in a coarser dtype, those rounded to it."""
    now = now.detach().cpu()
    if now.dtype.itemsize > reference.dtype.itemsize:  # what learns is fp32, beside bf16
        return torch.equal(now, reference.to(now.dtype))
    return torch.equal(now, reference.detach().cpu().to(now.dtype))
