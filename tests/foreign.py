"""Tiny random checkpoints of other systems, saved as transformers saves them: model and processor.

Every weight is shaken, norms and queries too, so that a tensor in the wrong place shows.
"""

from __future__ import annotations

from pathlib import Path

import torch
from captioned import save_bert
from tiny import save_llm
from transformers import (
    AutoTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    IdeficsConfig,
    IdeficsForVisionText2Text,
    IdeficsProcessor,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics.image_processing_pil_idefics import IdeficsImageProcessorPil

QUERIES = 4
PIXELS = {"height": 28, "width": 28}
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
FORMER = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "encoder_hidden_size": 16,
}  # fmt: skip


def shaken(model):
    """Move every weight off the value it is initialised to."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    return model.eval()


def tokenizer(folder: Path):
    """A byte-level tokenizer with BOS and EOS apart, a picture's token, and no chat template."""
    save_llm(folder, template=False)
    found = AutoTokenizer.from_pretrained(folder)
    found.bos_token, found.eos_token = "<|im_start|>", "<|im_end|>"
    found.add_tokens(["<image>"], special_tokens=True)
    found.padding_side = "left"
    return found


def language(kind: str, words) -> dict:
    """The config of a two-layer LLM, with more rows than its tokenizer has words."""
    shared = {
        "model_type": kind, "vocab_size": len(words) + 7, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256,
        "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id,
        "pad_token_id": words.eos_token_id,
    }  # fmt: skip
    own = {
        "llama": {"intermediate_size": 48, "num_key_value_heads": 2},
        "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    }
    return shared | own[kind]


def save_idefics(folder: Path, spoken: bool = True, **options):
    """IDEFICS: two CLIP layers, a Perceiver, a LLaMA of four layers with two gated blocks."""
    words = tokenizer(folder.with_name(f"{folder.name}-words"))
    known = words.convert_tokens_to_ids("<image>")  # the first of those it adds to LLaMA's
    marks = ["<fake_token_around_image>", *(["<end_of_utterance>"] if spoken else [])]
    words.add_tokens(marks, special_tokens=True)
    perceiver = {
        "use_resampler": True, "resampler_n_latents": 3, "resampler_depth": 2,
        "resampler_n_heads": 2, "resampler_head_dim": 6, "qk_layer_norms_perceiver": True,
    }  # fmt: skip
    vision = {name: value for name, value in VISION.items() if name != "hidden_size"}
    settings = {
        "vocab_size": known, "additional_vocab_size": 1 + len(marks), "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
        "cross_layer_interval": 2, "qk_layer_norms": True, "alpha_type": "vector",
        "use_resampler": True, "perceiver_config": perceiver, "max_position_embeddings": 256,
        "vision_config": {"embed_dim": 16, **vision}, "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id, "pad_token_id": words.eos_token_id,
    }  # fmt: skip
    model = shaken(IdeficsForVisionText2Text(IdeficsConfig(**settings | options)))
    model.generation_config.pad_token_id = words.eos_token_id
    processor = IdeficsProcessor(IdeficsImageProcessorPil(image_size=28), words)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def save_llava(folder: Path, **options):
    """LLaVA-1.5: three CLIP layers of which it takes the second's patches, a LLaMA."""
    words = tokenizer(folder.with_name(f"{folder.name}-words"))
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION},
        text_config=language("llama", words),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        **options,
    )
    model = shaken(LlavaForConditionalGeneration(config))
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=PIXELS)
    processor = LlavaProcessor(
        pictures, words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def save_blip2(folder: Path, llm: str = "opt", **former):
    """BLIP-2 with four queries and an OPT."""
    words = tokenizer(folder.with_name(f"{folder.name}-words"))
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=FORMER | former,
        text_config=language(llm, words),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = shaken(Blip2ForConditionalGeneration(config))
    processor = Blip2Processor(BlipImageProcessorPil(size=PIXELS), words, QUERIES)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def save_retrieval(folder: Path):
    """BLIP-2 after its first stage: no LLM, a Q-Former that reads, and its two heads."""
    words = AutoTokenizer.from_pretrained(save_bert(folder.with_name(f"{folder.name}-words")))
    words.add_special_tokens({"bos_token": "[DEC]"})
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=FORMER
        | {
            "vocab_size": len(words),
            "max_position_embeddings": 512,
            "use_qformer_text_input": True,
        },
        num_query_tokens=QUERIES,
        image_text_hidden_size=12,
    )
    model = shaken(Blip2ForImageTextRetrieval(config))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    BlipImageProcessorPil(size=PIXELS).save_pretrained(folder)
    return model


def save_instructblip(folder: Path):
    """InstructBLIP with a LLaMA; its Q-Former has a tokenizer of its own."""
    words = tokenizer(folder.with_name(f"{folder.name}-words"))
    reader = AutoTokenizer.from_pretrained(folder.with_name(f"{folder.name}-words"))
    config = InstructBlipConfig(
        vision_config=VISION,
        qformer_config=FORMER | {"vocab_size": len(reader), "max_position_embeddings": 512},
        text_config=language("llama", words),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = shaken(InstructBlipForConditionalGeneration(config))
    processor = InstructBlipProcessor(BlipImageProcessorPil(size=PIXELS), words, reader, QUERIES)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor
