"""Adapters in tiny LLMs: same at first, attention as written out by hand, caching, beams."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    Olmo2Config,
    Qwen3Config,
)

from polysense.errors import PolysenseError
from polysense.model.fusion.llama_adapter import LlamaAdapter
from polysense.model.fusion.media_context import media_counts

PICTURE, END = 3, 2
DOCUMENT = torch.tensor([[1, 10, PICTURE, 11, 12, PICTURE, 13, 14, PICTURE, 15]])
SIZES = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 1,
    "eos_token_id": END, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES),  # each head's queries and keys are normed
    "olmo2": Olmo2Config(**{k: v for k, v in SIZES.items() if k != "head_dim"}),  # all together
    "gemma2": Gemma2Config(**SIZES),
}


def build(family="llama", dtype=torch.float32):
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(FAMILIES[family])
    for weight in llm.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return llm.to(dtype).eval().requires_grad_(False)


def adapted(llm, opened=True, **options):
    torch.manual_seed(1)
    prompts = LlamaAdapter(llm, prompts=4, **options)
    for layer in prompts.layers.values():
        torch.nn.init.constant_(layer.gate, 0.8 * opened)
    return prompts


def pictures(batch=1, count=3):
    return torch.randn(batch, count, 5, 32, generator=torch.Generator().manual_seed(7))


def logits(llm, prompts, ids, media):
    with torch.no_grad(), prompts.conditioned_on(media, media_counts(ids == PICTURE)):
        return llm(ids).logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_the_first_step_the_llm_is_what_it_was(family, dtype):
    llm = build(family, dtype)
    with torch.no_grad():
        bare = llm(DOCUMENT).logits
    closed = adapted(llm, opened=False)
    assert sorted(closed.layers) == ["1", "2"]
    assert torch.equal(logits(llm, closed, DOCUMENT, pictures()), bare)
    closed.remove()
    opened = adapted(llm)
    assert not torch.allclose(logits(llm, opened, DOCUMENT, pictures()), bare, atol=1e-2)
    with torch.no_grad():  # outside the context, and once removed, the LLM is bare again
        assert torch.equal(llm(DOCUMENT).logits, bare)
    opened.remove()
    assert torch.equal(logits(llm, opened, DOCUMENT, pictures()), bare)


def test_attention_is_that_of_the_papers_written_out_by_hand():
    llm, media = build(), pictures(count=1)
    prompts = adapted(llm, layers=1)
    attention, layer = llm.model.layers[2].self_attn, prompts.layers["2"]
    heard = {}
    attention.o_proj.register_forward_pre_hook(lambda _, args: heard.update(found=args[0]))
    attention.register_forward_pre_hook(
        lambda _, args, kwargs: heard.update(x=kwargs["hidden_states"]), with_kwargs=True
    )
    ids = torch.tensor([[1, PICTURE, 11]])
    with torch.no_grad():
        llm(ids)
        plain = heard["found"][0, 2]
        logits(llm, prompts, ids, media)
        seen = torch.cat([layer.prompts, media[0, 0]])
        query = attention.q_proj(heard["x"][0, 2]).view(4, 8)
        key = attention.k_proj(seen).view(9, 2, 8).repeat_interleave(2, 1)
        value = attention.v_proj(seen).view(9, 2, 8).repeat_interleave(2, 1)
        weights = torch.einsum("hw,shw->hs", query, key).div(8**0.5).softmax(-1)
        said = torch.einsum("hs,shw->hw", weights, value)
    expected = plain.view(4, 8) + torch.tanh(layer.gate)[:, None] * said
    assert torch.allclose(heard["found"][0, 2].view(4, 8), expected, atol=1e-5)


def test_later_pictures_do_not_reach_earlier_text_but_earlier_ones_stay_in_sight():
    llm = build()
    prompts, media = adapted(llm), pictures()
    before = logits(llm, prompts, DOCUMENT, media)
    for number, place in enumerate((2, 5, 8)):
        changed = media.clone()
        changed[:, number] += 1
        moved = (logits(llm, prompts, DOCUMENT, changed) != before).any(dim=-1)[0]
        assert not moved[:place].any()
        assert moved[place:].all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_and_uncached_decoding_agree_in_a_padded_batch(family, beams):
    llm = build(family)
    prompts = adapted(llm)
    short = torch.tensor([[0, 0, 0, 0, 0, 0, 1, PICTURE, 11, 12]])
    ids = torch.cat([DOCUMENT, short])
    mask, media = (ids != 0).long(), pictures(batch=2)
    options = {"max_new_tokens": 12, "do_sample": False, "num_beams": beams}

    def continued(ids, mask, media, cached):
        with prompts.conditioned_on(media, media_counts(ids == PICTURE)):
            return llm.generate(ids, attention_mask=mask, use_cache=cached, **options)

    found = continued(ids, mask, media, True)
    assert torch.equal(found, continued(ids, mask, media, False))
    alone = continued(short[:, 6:], mask[1:, 6:], media[1:, :1], True)
    assert torch.equal(found[1:, 6 : 6 + alone.shape[1]], alone)
    assert not torch.equal(found, continued(ids, mask, 3 - media, True))


def test_gates_learn_first_and_then_the_prompts():
    llm = build()
    prompts = adapted(llm, opened=False)

    def trainable():
        prompts.zero_grad()
        with prompts.conditioned_on(pictures(), media_counts(DOCUMENT == PICTURE)):
            llm(DOCUMENT, labels=DOCUMENT).loss.backward()
        return {n for n, p in prompts.named_parameters() if p.grad.abs().sum() > 0}

    assert trainable() == {n for n, _ in prompts.named_parameters() if n.endswith("gate")}
    with torch.no_grad():
        for parameter in prompts.parameters():
            parameter -= 0.1 * parameter.grad
    assert trainable() == {n for n, _ in prompts.named_parameters()}
    assert all(p.grad is None for p in llm.parameters())


def test_llms_and_sizes_that_do_not_fit_are_named():
    gpt = AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    )
    with pytest.raises(PolysenseError, match=r"q_proj, .* and GPT2LMHeadModel has none such"):
        LlamaAdapter(gpt)
    with pytest.raises(PolysenseError, match=r"fusion.layers=4: the LLM has 3 layers"):
        LlamaAdapter(build(), layers=4)
