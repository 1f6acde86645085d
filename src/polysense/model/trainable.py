"""Which parameters a name means: `("connector", "llm.*lora_*")` -> the tensors that learn.

Freezing, the table printed before step 1, and the contents of a checkpoint all ask the same
question, so it is answered once, here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from polysense.errors import PolysenseError

FROZEN_PARTS = ("llm.", "encoder.")


def named(name: str, patterns: Iterable[str]) -> bool:
    """Whether a dotted parameter name is one of `patterns` or lies below one of them."""
    return any(fnmatchcase(name, p) or fnmatchcase(name, f"{p}.*") for p in patterns)


def select(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
    """Return {name: parameter} for `patterns`; one that means nothing is an error."""
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        if not any(named(name, [pattern]) for name in parameters):
            parts = sorted({name.split(".")[0] for name in parameters})
            raise PolysenseError(
                f"trainable={pattern!r} names no parameter of this model; its parts: "
                f"{', '.join(parts)} (LoRA: set model.llm.lora and learn 'llm.*lora_*')"
            )
    return {name: value for name, value in parameters.items() if named(name, patterns)}


def freeze_all_but(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
    """Let exactly the parameters of `patterns` learn, in fp32; return them by name."""
    chosen = select(model, patterns)
    model.requires_grad_(False)
    for parameter in chosen.values():
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)
    return chosen


def own_names(names: Iterable[str], trainable: Sequence[str]) -> list[str]:
    """Return the tensor names that a checkpoint holds: all but frozen, referenced weights."""
    return [n for n in names if not n.startswith(FROZEN_PARTS) or named(n, trainable) or is_lora(n)]


def is_lora(name: str) -> bool:
    """Whether a tensor is a LoRA's: `lora_A`, `lora_B`, and DoRA's magnitude vector."""
    return ".lora_" in name
