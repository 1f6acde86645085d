"""The projection module (UPM) of the OneLLM release, by its own names, read strictly."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from polysense.errors import PolysenseError
from polysense.model.importers.placement import check_names, placed
from polysense.model.upm import UniversalProjection

SHARED = ("attention_norm", "ffn_norm", "wq", "wk", "wv", "wo", "w1", "w2", "w3")
RELEASE_PARTS = (
    "clip_proj1.",
    "clip_proj2.",
    "resample_tokens.",
    "resample_layers.",
    "routers.",
    "start_tag.",
    "end_tag.",
)


def release_names(
    projection: UniversalProjection, senses: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return {our tensor: names of the OneLLM release}, K names where we stack experts.

    `senses` maps our modality names to the release's ("depth" is its "rgbd"). Names that the
    projection lacks are among the keys too: the caller compares them with its tensors.
    """
    names: dict[str, list[str]] = {}
    for ours, theirs in senses.items():
        for index in (0, 1):
            for kind in ("weight", "bias"):
                names[f"input_projection.{ours}.{index}.{kind}"] = [
                    f"clip_proj1.{theirs}.{index}.{kind}"
                ]
                names[f"output_projection.{ours}.{index}.{kind}"] = [
                    f"clip_proj2.{theirs}.{index}.{kind}"
                ]
                names[f"routers.{ours}.fc{index + 1}.{kind}"] = [
                    f"routers.{theirs}.fc{index + 1}.{kind}"
                ]
        names[f"tokens.{ours}"] = [f"resample_tokens.{theirs}"]
        names[f"start_tag.{ours}"] = [f"start_tag.{theirs}"]
        names[f"end_tag.{ours}"] = [f"end_tag.{theirs}"]
    experts = projection.experts
    places = {
        "w1": "feed_forward.w1.weight",
        "w2": "feed_forward.w2.weight",
        "w3": "feed_forward.w3.weight",
        "attention_norm": "attention_norm.weight",
        "ffn_norm": "ffn_norm.weight",
    }
    for layer in range(len(projection.blocks)):
        for part in SHARED:
            place = places.get(part, f"attention.{part}.weight")
            names[f"blocks.{layer}.{part}"] = [
                f"resample_layers.{expert}.{layer}.{place}" for expert in range(experts)
            ]
    return names


def load_onellm_projection(
    projection: UniversalProjection,
    tensors: Mapping[str, torch.Tensor],
    senses: Mapping[str, str],
    prefix: str = "llma.",
) -> None:
    """Load the UPM of the OneLLM release, all of it or nothing.

    Raises PolysenseError that names the tensors which are missing, left, or of another shape, and
    the parts of `projection` that no tensor would fill (a sense not in `senses`, another router).
    """
    names = release_names(projection, senses)
    state = projection.state_dict()
    if unlike := sorted(set(names) ^ set(state)):
        raise PolysenseError(
            f"the projection module is built unlike the release: {unlike[:4]} ({len(unlike)}); "
            "give it the release's senses and a router that learns"
        )
    wanted = {name for group in names.values() for name in group}
    given = {
        name.removeprefix(prefix)
        for name in tensors
        if name.startswith(prefix) and name.removeprefix(prefix).startswith(RELEASE_PARTS)
    }
    check_names(wanted, given, "projection module")
    for ours, group in names.items():
        shape = state[ours].shape[1:] if ours.startswith("blocks.") else state[ours].shape
        parts = [placed(tensors[prefix + name], shape, prefix + name, ours) for name in group]
        state[ours] = torch.stack(parts) if ours.startswith("blocks.") else parts[0]
    projection.load_state_dict(state)
