"""Tensors of other systems find their place in a module of ours: all of them, or nothing.

An importer says which of their names stands for which of ours. What is missing, left over or of
another shape is named in the error, and the module stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from polysense.errors import PolysenseError


def check_names(wanted: Iterable[str], given: Iterable[str], what: str) -> None:
    """Check that a checkpoint holds exactly the tensors that `what`, a part of it, needs."""
    wanted, given = set(wanted), set(given)
    missing, left = sorted(wanted - given), sorted(given - wanted)
    if missing or left:
        raise PolysenseError(
            f"the checkpoint's {what} does not fit: missing {missing[:4] or 'none'} "
            f"({len(missing)}), not placed {left[:4] or 'none'} ({len(left)})"
        )


def fits(found: torch.Size, shape: torch.Size, name: str, ours: str) -> None:
    """Check a shape, which may differ from ours by sides of length 1 only (tokens, tags)."""
    if [n for n in found if n > 1] != [n for n in shape if n > 1]:
        raise PolysenseError(
            f"{name} has shape {list(found)}; the model's {ours} needs {list(shape)}"
        )


def placed(tensor: torch.Tensor, shape: torch.Size, name: str, ours: str) -> torch.Tensor:
    """Return `tensor` in `shape`, or raise PolysenseError where it does not fit."""
    fits(tensor.shape, shape, name, ours)
    return tensor.reshape(shape)


def load_strictly(
    module: nn.Module, names: Mapping[str, str], tensors: Mapping[str, torch.Tensor], what: str
) -> None:
    """Load {their name: tensor} into `module` by {our name: their name}.

    Every tensor of the module and every one given is placed, else PolysenseError names them.
    """
    state = module.state_dict()
    if unlike := sorted(set(names) ^ set(state)):
        raise PolysenseError(
            f"our {what} is built unlike the checkpoint's: {unlike[:4]} ({len(unlike)})"
        )
    check_names(names.values(), tensors, what)
    module.load_state_dict(
        {
            ours: placed(tensors[theirs], state[ours].shape, theirs, ours)
            for ours, theirs in names.items()
        }
    )
