"""Experts in tiny LLMs: text has the LLM's weights and a modality its own, cached or not."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    Phi3Config,
    Qwen2Config,
)

from polysense.errors import PolysenseError
from polysense.model.fusion.visual_expert import VisualExpert

SIZES = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),  # projections with a bias
    "phi3": Phi3Config(**SIZES),  # projections fused
}
HELD = torch.tensor([[False, False, True, True, True, False, True, False]])


def build(family="llama", dtype=torch.float32):
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(FAMILIES[family])
    for weight in llm.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return llm.to(dtype).eval().requires_grad_(False)


def grown(expert):
    torch.manual_seed(3)
    for weight in expert.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return expert


def run(llm, expert, x, held=HELD):
    with torch.no_grad(), expert.conditioned_on(held):
        return llm(inputs_embeds=x).logits


def inputs(rows=1, length=8, dtype=torch.float32):
    return torch.randn(rows, length, 32, generator=torch.Generator().manual_seed(5)).to(dtype)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_the_first_step_the_llm_is_what_it_was(family, dtype):
    llm, x = build(family, dtype), inputs(dtype=dtype)
    with torch.no_grad():
        bare = llm(inputs_embeds=x).logits
    expert = VisualExpert(llm)
    assert torch.equal(run(llm, expert, x), bare)
    grown(expert)
    changed = (run(llm, expert, x) != bare).any(dim=-1)[0]
    assert changed.tolist() == [False, False, True, True, True, True, True, True]
    assert torch.equal(run(llm, expert, x, torch.zeros_like(HELD)), bare)
    with torch.no_grad():
        assert torch.equal(llm(inputs_embeds=x).logits, bare)
    expert.remove()
    assert torch.equal(run(llm, expert, x), bare)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_modality_has_weights_of_its_own(family):
    """At positions of a modality, it is an LLM whose weights are the sum of both."""
    llm, x = build(family), inputs()
    expert = grown(VisualExpert(llm))
    other = copy.deepcopy(llm)
    with torch.no_grad():
        for index, layer in expert.layers.items():
            for name, module in other.model.layers[int(index)].named_modules():
                last = name.rsplit(".", 1)[-1]
                if last in layer:
                    module.weight += layer[last].weight
                    if layer[last].bias is not None:
                        module.bias += layer[last].bias
        for module in other.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        expected = other(inputs_embeds=x).logits
    everywhere = torch.ones_like(HELD)
    assert torch.allclose(run(llm, expert, x, everywhere), expected, atol=1e-3)
    assert not torch.allclose(run(llm, expert, x), expected, atol=1e-1)


def test_layers_can_be_left_out():
    llm = build()
    assert sorted(VisualExpert(llm, every_n_layers=2).layers) == ["1"]
    names = {n.split(".", 1)[1] for n, _ in VisualExpert(llm).layers["0"].named_parameters()}
    assert names == {"weight"}
    with pytest.raises(PolysenseError, match=r"fusion.every_n_layers=9: the LLM has 3 layers"):
        VisualExpert(llm, every_n_layers=9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_and_uncached_decoding_agree_in_a_padded_batch(family, beams):
    llm = build(family)
    expert = grown(VisualExpert(llm))
    x = inputs(rows=2)
    held = torch.cat([HELD, HELD & (torch.arange(8) > 2)])
    mask = torch.tensor([[1] * 8, [0] * 3 + [1] * 5])
    options = {"max_new_tokens": 10, "do_sample": False, "num_beams": beams}

    def continued(x, mask, held, cached):
        with expert.conditioned_on(held):
            return llm.generate(inputs_embeds=x, attention_mask=mask, use_cache=cached, **options)

    found = continued(x, mask, held, True)
    assert torch.equal(found, continued(x, mask, held, False))
    alone = continued(x[1:, 3:], mask[1:, 3:], held[1:, 3:], True)
    assert torch.equal(found[1:, : alone.shape[1]], alone)
    assert not torch.equal(found, continued(x, mask, ~held, True))


def test_weights_learn_from_the_first_step_on():
    llm = build()
    expert, ids = VisualExpert(llm), torch.arange(8)[None] + 3
    with expert.conditioned_on(HELD):
        llm(ids, labels=ids).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in expert.parameters())
    assert all(p.grad is None for p in llm.parameters())


def test_llms_of_other_names_are_refused():
    gpt = GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    mixture = MixtralConfig(**SIZES, num_local_experts=2)
    layers, experts = (
        "needs layers with q_proj, .* GPT2LMHeadModel have",
        "Mixtral.* is a mixture of",
    )
    for config, words in ((gpt, layers), (mixture, experts)):
        llm = AutoModelForCausalLM.from_config(config)
        with pytest.raises(PolysenseError, match=words):
            VisualExpert(llm)


@pytest.mark.parametrize(("family", "biased"), [("llama", False), ("qwen2", True)])
def test_a_difference_has_a_bias_where_the_llms_layer_has_one(family, biased):
    expert = VisualExpert(build(family))
    assert (expert.layers["0"]["q_proj"].bias is not None) is biased
    assert expert.layers["0"]["down_proj"].bias is None
