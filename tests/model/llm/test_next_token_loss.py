"""Every family of LLMs: samples that share a row stay apart, and the loss is the LLM's own.

Run with transformers 5.17 too, whose folder is put into PYTHONPATH.
"""

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
)

from polysense.errors import PolysenseError
from polysense.model.llm.capabilities import find_capabilities
from polysense.model.llm.next_token_loss import next_token_loss, summed_loss
from polysense.model.llm.packed_attention import packed_inputs

IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, **IDS}
HEADS = {**SIZES, "num_attention_heads": 4}
GROUPED = {**HEADS, "intermediate_size": 48, "num_key_value_heads": 2}
CONFIGS = {
    "llama": LlamaConfig(**GROUPED),
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, **IDS),
    "qwen2": Qwen2Config(**GROUPED, tie_word_embeddings=True),
    "mistral": MistralConfig(**GROUPED, sliding_window=6),
    "gemma2": Gemma2Config(**GROUPED, head_dim=8, sliding_window=6, final_logit_softcapping=2.0),
    "cohere": CohereConfig(**GROUPED, logit_scale=0.3),
    "granite": GraniteConfig(**GROUPED, logits_scaling=3.0),
    "opt": OPTConfig(**HEADS, ffn_dim=48, word_embed_proj_dim=32),
    "falcon": FalconConfig(**HEADS),
    "bloom": BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4, **IDS),
    "mamba": MambaConfig(**SIZES),
}
# No position ids and no mask keep samples apart in a state (Mamba), or where the positions follow
# from the mask (ALiBi). Which of the two an LLM needs is the library's matter, and changes.
UNPACKED = {"bloom", "mamba"}
LENGTHS = [[9, 5, 3], [4, 13]]


def an_llm(family):
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(CONFIGS[family]).eval()
    for weight in llm.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, 0, 0.3)
    return llm


@pytest.mark.parametrize("family", CONFIGS)
def test_packed_loss_and_gradients_equal_those_of_samples_alone(family):
    llm = an_llm(family)
    capabilities = find_capabilities(llm)
    form = capabilities.packed_form
    assert (form is None) == (family in UNPACKED)
    samples = [[torch.randn(n, 32) for n in row] for row in LENGTHS]
    targets = torch.randint(64, (2, 17)).masked_fill(torch.rand(2, 17) < 0.5, -100)
    positions = torch.tensor([[place for n in row for place in range(n)] for row in LENGTHS])
    packed = torch.stack([torch.cat(row) for row in samples]).requires_grad_()
    if form is None:
        with pytest.raises(PolysenseError, match="packing=false"):
            packed_inputs(llm, positions, form)
        return
    alone = [[sample.requires_grad_() for sample in row] for row in samples]
    total = torch.zeros(())
    for row, wanted in zip(alone, targets, strict=True):
        for sample, ids in zip(row, wanted.split([len(s) for s in row]), strict=True):
            logits = llm(inputs_embeds=sample[None], use_cache=False).logits[0]
            total = total + functional.cross_entropy(logits, ids, reduction="sum")
    total.backward()
    inputs = packed_inputs(llm, positions, form)
    found = summed_loss(llm, capabilities, packed, targets, inputs)
    found.backward()
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-5)
    expected = torch.stack([torch.cat([sample.grad for sample in row]) for row in alone])
    torch.testing.assert_close(packed.grad, expected, rtol=1e-4, atol=1e-5 * expected.abs().max())


def test_an_unknown_head_takes_the_llms_own_logits():
    llm = an_llm("llama")
    assert find_capabilities(llm).logit_transform is not None
    strange = an_llm("llama")
    strange.lm_head.register_forward_hook(lambda module, args, out: out + 0.1 * out.roll(1, -1))
    call = strange.forward
    strange.forward = lambda **options: squared(call(**options))
    capabilities = find_capabilities(strange)
    assert capabilities.logit_transform is None
    embeddings = torch.randn(2, 7, 32)
    targets = torch.tensor(
        [[-100, 3, 4, -100, -100, -100, -100], [-100, -100, 9, -100, 2, -100, -100]]
    )
    logits = strange(inputs_embeds=embeddings, use_cache=False).logits
    expected = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    inputs = {"attention_mask": None}
    found = summed_loss(strange, capabilities, embeddings, targets, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def squared(output):
    output.logits = output.logits.square()
    return output


def test_a_label_is_predicted_by_the_position_before_it_and_padding_by_none():
    llm = an_llm("llama")
    embeddings, labels = (
        torch.randn(2, 5, 32),
        torch.tensor([[9, -100, 3, 4, 5], [-100, -100, -100, 7, 6]]),
    )
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    total, num_labels = next_token_loss(llm, find_capabilities(llm), embeddings, labels, mask)
    logits = llm(inputs_embeds=embeddings, attention_mask=mask).logits.log_softmax(-1)
    places = [(0, 1, 3), (0, 2, 4), (0, 3, 5), (1, 2, 7), (1, 3, 6)]
    expected = -sum(logits[place] for place in places)
    assert num_labels == len(places)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
