"""What `from_pretrained` is told besides a name: each argument is followed, or refused by name.

transformers' models take some thirty; those that mean something for a model whose frozen parts are
references are followed here, and a typo is an error as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from polysense.config import Precision
from polysense.errors import PolysenseError, unknown_name

HUB = ("revision", "token", "cache_dir", "local_files_only", "force_download")

PRECISIONS: dict[Any, Precision | None] = {
    "auto": None,
    "bfloat16": "bf16",
    "float32": "fp32",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
}

QUANTIZED = "the LLM and encoder are loaded in bf16 or fp32 (dtype=)"

REFUSED = {
    "quantization_config": QUANTIZED,
    "load_in_8bit": QUANTIZED,
    "load_in_4bit": QUANTIZED,
    "state_dict": "call load_state_dict of the model afterwards",
    "ignore_mismatched_sizes": "a checkpoint that does not fit is an error",
    "output_loading_info": "loading is strict, so there is nothing to tell",
    "subfolder": "give the folder itself",
    "max_memory": "the whole model is put on one device (device_map=)",
    "offload_folder": "the whole model is put on one device (device_map=)",
    "offload_state_dict": "the whole model is put on one device (device_map=)",
    "tp_plan": "the whole model is put on one device (device_map=)",
    "trust_remote_code": "code of a checkpoint is not run",
    "from_tf": "weights are safetensors",
    "from_flax": "weights are safetensors",
    "variant": "there is one model.safetensors",
    "gguf_file": "a checkpoint of ours is safetensors; give the LLM's file with llm=",
    "adapter_kwargs": "load an adapter with PeftModel.from_pretrained(model, folder)",
}

# What says no more than what happens anyway; AutoModel gives some of them always.
NEUTRAL: dict[str, Any] = {
    "use_safetensors": True,
    "low_cpu_mem_usage": True,
    "weights_only": True,
    "trust_remote_code": False,
    "ignore_mismatched_sizes": False,
    "output_loading_info": False,
    "load_in_8bit": False,
    "load_in_4bit": False,
    "subfolder": "",
    "_from_auto": True,
}


@dataclass(frozen=True)
class LoadingOptions:
    """The arguments that are followed.

    precision  what the frozen parts compute in; None: as the config says
    device     where the model goes; None: it stays on the CPU
    attention  the LLM's attn_implementation; None: its own choice
    hub        arguments of the download
    """

    precision: Precision | None = None
    device: torch.device | None = None
    attention: str | None = None
    hub: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, Any], is_local: bool) -> LoadingOptions:
        """Read what was `given`; raises PolysenseError for what cannot be followed."""
        options = {name: value for name, value in given.items() if value is not None}
        dtype = options.pop("dtype", options.pop("torch_dtype", "auto"))
        options.pop("torch_dtype", None)
        if "_adapter_model_path" not in options.get("adapter_kwargs", {}):
            options.pop("adapter_kwargs", None)  # AutoModel always gives some
        found = cls(
            read_precision(dtype),
            read_device(options.pop("device_map", None)),
            options.pop("attn_implementation", None),
            {name: options.pop(name) for name in HUB if name in options},
        )
        if is_local and found.hub.get("revision", "main") != "main":
            raise PolysenseError(
                f"from_pretrained(revision={found.hub['revision']!r}): a folder has no revisions, "
                "only a name on the hub has"
            )
        for name, value in options.items():
            if name in NEUTRAL and value == NEUTRAL[name]:
                continue
            if name not in REFUSED:
                known = ["dtype", "device_map", "attn_implementation"]
                known += ["llm", "encoder", "modalities"]
                raise unknown_name("argument of from_pretrained", name, [*known, "config", *HUB])
            raise PolysenseError(f"from_pretrained({name}=...) is not possible: {REFUSED[name]}")
        return found


def read_precision(dtype: Any) -> Precision | None:
    """Return what a dtype, or its name, is called in our configs."""
    name = dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype
    if name not in PRECISIONS:
        raise PolysenseError(
            f"from_pretrained(dtype={dtype}) is not possible: give 'bfloat16', 'float32' or 'auto'"
        )
    return PRECISIONS[name]


def read_device(device_map: Any) -> torch.device | None:
    """Return the one device of a device_map: its name or number, "auto", or {"": device}."""
    if device_map is None:
        return None
    device = device_map
    if isinstance(device, Mapping):
        devices = set(device.values())
        device = devices.pop() if len(devices) == 1 else None
    if device == "auto":
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    if isinstance(device, str | int | torch.device):
        try:
            return torch.device(device)
        except RuntimeError:
            pass  # "balanced", "disk", a typo: said below
    raise PolysenseError(
        f"from_pretrained(device_map={device_map!r}) is not possible: the whole model is put on "
        "one device, so give 'auto', 'cpu', 'cuda:0' or the like"
    )
