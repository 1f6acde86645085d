"""The LLM: a thin layer over any decoder-only transformers model.

It exists so that the rest of Polysense never asks which LLM it holds: loading with errors that
teach, the text tokenizer with its chat template, LoRA put into the layers in place, and a
fingerprint by which a checkpoint recognises the LLM it was trained on.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationMixin
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from polysense.config import LanguageModelConfig, LoraConfig, Precision
from polysense.errors import PolysenseError
from polysense.model.adapters import ADAPTER, keep_active
from polysense.model.gguf import gguf_folder, is_gguf


def compute_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype matrices are multiplied in: bf16 where the chip has it, else fp32."""
    if precision == "auto":
        fast = torch.cuda.is_available() or (
            torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        )
        return torch.bfloat16 if fast else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]


def load_pretrained(
    what: str, loader: Callable[..., Any], name: str, revision: str | None, **options: Any
) -> Any:
    """Call a transformers `from_pretrained`; a folder or hub name that fails is a clear error.

    A GGUF file stands for the folder that it is unpacked to, once.
    """
    if is_gguf(name):
        name = str(gguf_folder(name))
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists()
    if looks_local and not (Path(name).expanduser() / "config.json").is_file():
        raise PolysenseError(
            f"{what} {name!r} is not a model folder (no config.json there): "
            "give a hub name or the folder that save_pretrained wrote"
        )
    try:
        return loader(
            str(Path(name).expanduser()) if looks_local else name, revision=revision, **options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(f"{what} {name!r} could not be loaded: {reason}") from error


def load_llm(config: LanguageModelConfig, dtype: torch.dtype) -> PreTrainedModel:
    """Load the LLM in `dtype`, frozen, in evaluation mode, with LoRA layers where asked for."""
    architecture = load_pretrained("LLM", AutoConfig.from_pretrained, config.name, config.revision)
    if getattr(architecture, "is_encoder_decoder", False):
        raise PolysenseError(
            f"LLM {config.name!r} is an encoder-decoder ({architecture.model_type}): "
            "Polysense takes decoder-only models"
        )
    llm = load_pretrained(
        "LLM", AutoModelForCausalLM.from_pretrained, config.name, config.revision, dtype=dtype
    )
    llm.requires_grad_(False).eval()
    if llm.generation_config.pad_token_id is None:
        ends = llm.generation_config.eos_token_id
        llm.generation_config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    if config.lora is not None:
        add_lora(llm, config.lora)
    return llm


def stop_at(llm: PreTrainedModel, ends: Iterable[int]) -> None:
    """Let the LLM's answers end at each of the token ids `ends`, besides those it ends at now."""
    settings = llm.generation_config
    now = settings.eos_token_id
    known = [] if now is None else list(now) if isinstance(now, list) else [now]
    new = [end for end in dict.fromkeys(ends) if end not in known]
    if new:
        settings.eos_token_id = [*known, *new]


def load_words(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load an LLM's word vectors; the rest of it is on the meta device, without memory.

    That is enough for its sizes, scale and fingerprint, so that an import needs not hold an LLM of
    any size. `folder` has its config and safetensors.
    """
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config)
    words = llm.get_input_embeddings()
    name = next(n for n, p in llm.named_parameters() if p is words.weight)
    index = folder / "model.safetensors.index.json"
    file = (
        json.loads(index.read_text())["weight_map"][name]
        if index.is_file()
        else "model.safetensors"
    )
    with safe_open(folder / file, "pt") as opened:
        weight = opened.get_tensor(name).to(dtype)
    words.weight = torch.nn.Parameter(weight, requires_grad=False)
    return llm.requires_grad_(False).eval()


def load_reader(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer in whose ids a connector reads what the user says."""
    tokenizer = load_pretrained("connector.reader", AutoTokenizer.from_pretrained, name, None)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_text_tokenizer(
    name: str, revision: str | None = None, template: str | None = None
) -> PreTrainedTokenizerBase:
    """Load the LLM's tokenizer; it must bring an end-of-text token and a chat template, unless
    `template`, in Jinja, is to stand for it."""
    tokenizer = load_pretrained("tokenizer of LLM", AutoTokenizer.from_pretrained, name, revision)
    if template is not None:
        tokenizer.chat_template = template
    if not getattr(tokenizer, "chat_template", None):
        raise PolysenseError(
            f"LLM {name!r} has no chat template: use its instruct or chat variant, put a "
            "chat_template.jinja into the folder, or set model.llm.template"
        )
    if tokenizer.eos_token_id is None:
        raise PolysenseError(f"LLM {name!r} has no end-of-text token: set eos_token in its folder")
    if not tokenizer.is_fast:
        raise PolysenseError(
            f"LLM {name!r} has only a slow tokenizer: a tokenizer.json is needed, because the loss "
            "mask is made from character offsets"
        )
    return tokenizer


def add_lora(llm: PreTrainedModel, lora: LoraConfig) -> None:
    """Put LoRA layers into `llm` in place, through peft; targets it lacks are an error."""
    from peft import LoraConfig as PeftConfig  # costs a second to import
    from peft import inject_adapter_in_model

    names = {name.rsplit(".", 1)[-1] for name, _ in llm.named_modules()}
    missing = sorted(set(lora.targets) - names)
    if missing:
        linear = sorted(
            {
                name.rsplit(".", 1)[-1]
                for name, module in llm.named_modules()
                if isinstance(module, torch.nn.Linear)
            }
        )
        raise PolysenseError(
            f"lora.targets names no layer of this LLM: {', '.join(missing)}. "
            f"Its linear layers: {', '.join(linear)}"
        )
    peft_config = PeftConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    inject_adapter_in_model(peft_config, llm, adapter_name=ADAPTER)
    keep_active(llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_(False)
        if ".lora_" in name:
            parameter.data = parameter.data.float()


def word_vectors(llm: PreTrainedModel) -> torch.Tensor:
    """Return the LLM's word vectors [V, D]."""
    weight = llm.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def llm_fingerprint(llm: PreTrainedModel) -> str:
    """Return a hash that tells this LLM from others: its shape and a sample of its word vectors."""
    shape = {
        key: getattr(llm.config, key, None)
        for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
    }
    weight = word_vectors(llm)
    rows = weight[:: max(1, len(weight) // 64)].detach().to(torch.bfloat16).contiguous().cpu()
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    digest.update(rows.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def embedding_factor(llm: PreTrainedModel) -> float:
    """Return what the embedding layer multiplies its word vectors by: sqrt(D) in Gemma, else 1."""
    layer = llm.get_input_embeddings()
    # Where an import keeps all but the word vectors on the meta device, the number is still there.
    held = getattr(layer, "scalar_embed_scale", getattr(layer, "embed_scale", None))
    if held is not None and not getattr(held, "is_meta", False):
        return float(held)
    if layer.weight.is_meta:
        return 1.0  # only sizes are asked for
    ids = torch.arange(min(64, layer.weight.shape[0]), device=layer.weight.device)
    with torch.no_grad():
        given, weight = layer(ids).float(), layer.weight[ids].float()
    return float(given.norm() / weight.norm().clamp_min(1e-12))


def embedding_scale(llm: PreTrainedModel) -> float:
    """Return the standard deviation of what the LLM gets of a word, the scale connectors start at.

    It is that of the embedding layer's output, not of its weight. On the meta device, where neither
    has values, it is 1.
    """
    if word_vectors(llm).is_meta:
        return 1.0
    return float(word_vectors(llm).float().std()) * embedding_factor(llm)


def cache_argument() -> str:
    """Return the argument by which an LLM takes its keys and values: "cache" since transformers
    5.24, "past_key_values" before."""
    takes = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    return "cache" if "cache" in takes else "past_key_values"
