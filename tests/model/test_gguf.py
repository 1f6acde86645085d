"""A GGUF file is read as the LLM that it was made of, and unpacked once."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from fixtures.tiny_model import save_llm
from transformers import AutoModelForCausalLM, AutoTokenizer

from polysense.cache_folder import cache_folder
from polysense.config import LanguageModelConfig
from polysense.errors import PolysenseError
from polysense.model import gguf as reading
from polysense.model.llm.load import load_llm
from polysense.model.llm.text_tokenizer import load_text_tokenizer

LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def interleaved(weight, heads):
    """Rotary halves of a projection [heads * d, D] as llama.cpp orders them: in pairs."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def save_gguf(folder, path):
    """Write the LLM in `folder` as llama.cpp's converter does, in fp32."""
    llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, tokenizer = llm.config, AutoTokenizer.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.get_added_vocab())
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word in special else 1 for word in words])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    state = {name: tensor.numpy() for name, tensor in llm.state_dict().items()}
    named = {"token_embd.weight": state["model.embed_tokens.weight"]}
    named |= {"output_norm.weight": state["model.norm.weight"]}
    named |= {"output.weight": state["lm_head.weight"]}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in LAYER.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            if (count := heads.get(ours.rpartition(".")[2])) is not None:
                weight = interleaved(weight, count)
            named[f"blk.{layer}.{theirs}.weight"] = weight
    for name, weight in named.items():
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def packed(tmp_path):
    return save_gguf(save_llm(tmp_path / "llm"), tmp_path / "tiny.gguf")


def test_it_is_the_llm_that_it_was_made_of(packed, tmp_path):
    own = load_llm(LanguageModelConfig(str(tmp_path / "llm")), torch.bfloat16)
    read = load_llm(LanguageModelConfig(str(packed)), torch.bfloat16)
    ids = torch.tensor([[1, 40, 7, 90]])
    with torch.no_grad():
        assert torch.equal(read(ids).logits, own(ids).logits)
    before, after = (load_text_tokenizer(str(path)) for path in (tmp_path / "llm", packed))
    text = "<|im_start|>user\nA red circle.<|im_end|>"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert after.chat_template == before.chat_template


def test_a_file_is_unpacked_once_wherever_it_lies(packed, tmp_path, monkeypatch):
    folder = reading.gguf_folder(str(packed))
    assert folder.is_relative_to(cache_folder())
    monkeypatch.setattr(reading, "unpack_gguf", lambda *_: pytest.fail("unpacked twice"))
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(packed, tmp_path / "elsewhere")
    assert reading.gguf_folder(str(moved)) == folder


def test_another_file_of_the_same_name_is_another(packed, tmp_path):
    before = reading.content_key(packed)
    data = bytearray(packed.read_bytes())
    data[-1] ^= 1
    packed.write_bytes(data)
    assert reading.content_key(packed) != before


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"GGUF", b"GGUF\x03\0\0\0" + bytes(64)])
def test_what_is_no_gguf_is_told_in_a_line_and_leaves_nothing(content, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(PolysenseError, match=r"LLM .*model\.gguf'") as failed:
        load_text_tokenizer(str(path))
    assert "\n" not in str(failed.value)
    assert not list((cache_folder() / "gguf").glob("*model-*"))


def test_a_missing_file_is_told():
    with pytest.raises(PolysenseError, match=r"'gone\.gguf' does not exist"):
        load_llm(LanguageModelConfig("gone.gguf"), torch.float32)


def test_the_extra_that_reads_it_is_named(packed, monkeypatch):
    def without_gguf(*args, **options):
        raise ImportError("gguf is not installed")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", without_gguf)
    with pytest.raises(PolysenseError, match=r"pip install 'polysense\[laptop\]'"):
        reading.unpack_gguf(packed, packed.parent)
