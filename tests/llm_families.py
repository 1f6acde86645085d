"""Tiny random LLMs of every family: a row of docs/llm-families.md each."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

WORDS, WIDTH = 64, 32
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZES = {"vocab_size": WORDS, "hidden_size": WIDTH, "num_hidden_layers": 2, **IDS}
HEADS = {**SIZES, "num_attention_heads": 4}
GROUPED = {**HEADS, "intermediate_size": 48, "num_key_value_heads": 2}
WIDE_HEAD = {**GROUPED, "head_dim": 8}
WINDOW = 8  # shorter than the tests' prompts: windows are exceeded
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LAYERS4 = {"num_hidden_layers": 4}
MAMBA2 = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_n_heads": 4, "mamba_n_groups": 1}

# {family as people know it: (model_type, sizes)}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("llama", GROUPED),
    "Llama 4": (
        "llama4_text",
        {
            **WIDE_HEAD,
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
            "attention_chunk_size": WINDOW,
            "num_experts_per_tok": 1,
        },
    ),
    "Qwen 2": ("qwen2", GROUPED),
    "Qwen 3": ("qwen3", WIDE_HEAD),
    "Qwen 2 MoE": (
        "qwen2_moe",
        {
            **GROUPED,
            **EXPERTS,
            "num_experts": 4,
            "shared_expert_intermediate_size": 16,
        },
    ),
    "Qwen 3 MoE": ("qwen3_moe", {**WIDE_HEAD, **EXPERTS, "num_experts": 4}),
    "Gemma": ("gemma", WIDE_HEAD),
    "Gemma 2": ("gemma2", {**WIDE_HEAD, "sliding_window": WINDOW}),
    "Gemma 3 text": (
        "gemma3_text",
        {
            **WIDE_HEAD,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "Gemma 3 with vision": (
        "gemma3",
        {
            "text_config": {**WIDE_HEAD, "sliding_window": WINDOW},
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
        },
    ),
    "Mistral": ("mistral", {**GROUPED, "sliding_window": WINDOW}),
    "Mixtral": ("mixtral", {**GROUPED, "num_local_experts": 4}),
    "Phi-2": ("phi", GROUPED),
    "Phi-3": ("phi3", {**GROUPED, "sliding_window": WINDOW}),
    "GPT-2": ("gpt2", {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, **IDS}),
    "GPT-J": (
        "gptj",
        {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "rotary_dim": 4, **IDS},
    ),
    "GPT-Neo": (
        "gpt_neo",
        {
            **SIZES,
            "num_layers": 2,
            "num_heads": 4,
            "window_size": WINDOW,
            "attention_types": [[["global", "local"], 1]],
        },
    ),
    "GPT-NeoX, Pythia": ("gpt_neox", {**HEADS, "intermediate_size": 48}),
    "GPT-OSS": ("gpt_oss", {**WIDE_HEAD, "num_local_experts": 4, "sliding_window": WINDOW}),
    "OPT": ("opt", {**HEADS, "ffn_dim": 48, "word_embed_proj_dim": WIDTH}),
    "BLOOM": (
        "bloom",
        {"vocab_size": WORDS, "hidden_size": WIDTH, "n_layer": 2, "n_head": 4, **IDS},
    ),
    "MPT": ("mpt", {"vocab_size": WORDS, "d_model": WIDTH, "n_layers": 2, "n_heads": 4, **IDS}),
    "Falcon": ("falcon", HEADS),
    "Falcon, ALiBi": ("falcon", {**HEADS, "alibi": True}),
    "Falcon-H1": (
        "falcon_h1",
        {**GROUPED, **MAMBA2, "head_dim": 8, "mamba_d_ssm": 32, "mamba_d_head": 8},
    ),
    "Mamba": ("mamba", {**SIZES, "state_size": 8}),
    "Mamba 2": (
        "mamba2",
        {**SIZES, "state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2},
    ),
    "Bamba": ("bamba", {**GROUPED, **MAMBA2, "mamba_d_head": 16, "attn_layer_indices": [1]}),
    "Jamba": (
        "jamba",
        {
            **GROUPED,
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "Zamba 2": (
        "zamba2",
        {
            **GROUPED,
            "num_hidden_layers": 3,
            "hybrid_layer_ids": [1],
            "mamba_d_state": 8,
            "n_mamba_heads": 4,
            "mamba_headdim": 16,
            "mamba_ngroups": 1,
            "num_mem_blocks": 1,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
        },
    ),
    "RecurrentGemma": (
        "recurrent_gemma",
        {
            **WIDE_HEAD,
            "lru_width": WIDTH,
            "attention_window_size": WINDOW,
            "num_hidden_layers": 3,
        },
    ),
    "RWKV": ("rwkv", {**SIZES, "attention_hidden_size": WIDTH, "intermediate_size": 48}),
    "CTRL": (
        "ctrl",
        {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "dff": 48, **IDS},
    ),
    "XGLM": (
        "xglm",
        {
            "vocab_size": WORDS,
            "d_model": WIDTH,
            "num_layers": 2,
            "attention_heads": 4,
            "ffn_dim": 48,
            **IDS,
        },
    ),
    "BioGPT": ("biogpt", {**HEADS, "intermediate_size": 48}),
    "StableLM": ("stablelm", GROUPED),
    "OLMo": ("olmo", GROUPED),
    "OLMo 2": ("olmo2", GROUPED),
    "Cohere": ("cohere", {**GROUPED, "logit_scale": 0.3}),
    "Granite": ("granite", {**GROUPED, "logits_scaling": 3.0, "embedding_multiplier": 12.0}),
    "GLM-4": ("glm", {**WIDE_HEAD, "pad_token_id": 0}),
    "SmolLM 3": ("smollm3", GROUPED),
    "DeepSeek V3": (
        "deepseek_v3",
        {
            **GROUPED,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
    ),
    "Starcoder 2": ("starcoder2", {**GROUPED, "sliding_window": WINDOW}),
    "ModernBERT decoder": ("modernbert-decoder", {**GROUPED, "local_attention": WINDOW}),
}


def family_llm(family: str, seed: int = 0) -> Any:
    """Return a random LLM of a family, with weights so large that positions and words matter."""
    model_type, sizes = FAMILIES[family]
    torch.manual_seed(seed)
    llm = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **sizes)).eval()
    for weight in llm.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, 0, 0.3)
    return llm
