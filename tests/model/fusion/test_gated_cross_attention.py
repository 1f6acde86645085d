"""Gated attention in tiny LLMs: same at first, who sees which picture, caching, beams."""

import pytest
import torch
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from polysense.errors import PolysenseError
from polysense.model.fusion.gated_cross_attention import (
    GatedCrossAttention,
    GatedCrossAttentionBlock,
)
from polysense.model.fusion.media_context import MediaContext, media_counts
from polysense.model.llm.load import cache_argument

PICTURE, END = 3, 2
# Text, a picture, text, a picture, text, a picture, text: three pictures in one document.
DOCUMENT = torch.tensor([[1, 10, PICTURE, 11, 12, PICTURE, 13, 14, PICTURE, 15]])


def build(family="llama", dtype=torch.float32):
    torch.manual_seed(0)
    if family == "llama":
        config = LlamaConfig(
            vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, eos_token_id=END, pad_token_id=0,
        )  # fmt: skip
        llm = LlamaForCausalLM(config)
    else:
        config = GPT2Config(
            vocab_size=50, n_embd=32, n_layer=4, n_head=4, eos_token_id=END, pad_token_id=0
        )
        llm = GPT2LMHeadModel(config)
    return llm.to(dtype).eval().requires_grad_(False)


def gated(llm, opened=True):
    torch.manual_seed(1)
    attention = GatedCrossAttention(llm, media_width=20, every_n_layers=2, heads=2)
    for block in attention.blocks.values():
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        torch.nn.init.constant_(block.attention_gate, 1.0 * opened)
        torch.nn.init.constant_(block.feedforward_gate, 0.5 * opened)
    return attention


def pictures(batch=1, count=3):
    return torch.randn(batch, count, 5, 20, generator=torch.Generator().manual_seed(7))


def logits(llm, attention, ids, media):
    with torch.no_grad(), attention.conditioned_on(media, media_counts(ids == PICTURE)):
        return llm(ids).logits


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_the_first_step_the_llm_is_what_it_was(family, dtype):
    llm = build(family, dtype)
    with torch.no_grad():
        bare = llm(DOCUMENT).logits
    closed = gated(llm, opened=False)
    assert torch.equal(logits(llm, closed, DOCUMENT, pictures()), bare)
    closed.remove()
    opened = gated(llm)
    assert not torch.allclose(logits(llm, opened, DOCUMENT, pictures()), bare, atol=1e-3)
    with torch.no_grad():  # outside the context, and once removed, the LLM is bare again
        assert torch.equal(llm(DOCUMENT).logits, bare)
    opened.remove()
    assert torch.equal(logits(llm, opened, DOCUMENT, pictures()), bare)
    halved = opened.bfloat16()
    assert {p.dtype for p in halved.parameters()} == {torch.bfloat16}
    assert sorted(opened.blocks) == ["1", "3"]


def test_a_position_sees_the_last_picture_only():
    counts = media_counts(DOCUMENT == PICTURE)
    assert counts.tolist() == [[0, 0, 1, 1, 1, 2, 2, 2, 3, 3]]
    mask = MediaContext.of(torch.zeros(1, 4, 2, 8), counts).latest(0, 10)[0, 0]
    for position, count in enumerate(counts[0].tolist()):
        seen = mask[position].nonzero().flatten().tolist()
        assert seen == ([] if count == 0 else [2 * count - 2, 2 * count - 1])


def test_changing_a_picture_changes_its_own_text_in_a_block():
    torch.manual_seed(2)
    block = GatedCrossAttentionBlock(32, 20, 2, 64)
    torch.nn.init.constant_(block.attention_gate, 1.0)
    x, media = torch.randn(1, 10, 32), pictures()
    mask = MediaContext.of(media, media_counts(DOCUMENT == PICTURE)).latest(0, 10)
    before = block(x, *block.remember(media.flatten(1, 2)), mask)
    assert before.isfinite().all()
    assert torch.equal(before[:, :2], x[:, :2])  # text before any picture sees none
    changed = media.clone()
    changed[:, 1] += 1
    after = block(x, *block.remember(changed.flatten(1, 2)), mask)
    moved = (after != before).any(dim=-1)[0].nonzero().flatten().tolist()
    assert moved == [5, 6, 7]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_later_pictures_do_not_reach_earlier_text_in_the_llm(family):
    llm = build(family)
    attention, media = gated(llm), pictures()
    before, changed = logits(llm, attention, DOCUMENT, media), media.clone()
    changed[:, 1] += 1
    after = logits(llm, attention, DOCUMENT, changed)
    assert torch.equal(after[:, :5], before[:, :5])
    # The last text sees picture 2 no more, but it hears of it from the text in between.
    assert (after != before).any(dim=-1)[0, 5:].all()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_and_uncached_decoding_agree_in_a_padded_batch(family, beams):
    llm = build(family)
    attention = gated(llm)
    short = torch.tensor([[0, 0, 0, 0, 0, 0, 1, PICTURE, 11, 12]])
    ids = torch.cat([DOCUMENT, short])
    mask = (ids != 0).long()
    media = pictures(batch=2)
    options = {"max_new_tokens": 12, "do_sample": False, "num_beams": beams}

    def continued(ids, mask, media, cached):
        with attention.conditioned_on(media, media_counts(ids == PICTURE)):
            return llm.generate(ids, attention_mask=mask, use_cache=cached, **options)

    found = continued(ids, mask, media, True)
    assert torch.equal(found, continued(ids, mask, media, False))
    alone = continued(short[:, 6:], mask[1:, 6:], media[1:, :1], True)
    assert torch.equal(found[1:, 6 : 6 + alone.shape[1]], alone)
    assert not torch.equal(found, continued(ids, mask, -media, True))


def test_cached_logits_equal_those_of_the_whole():
    llm = build()
    attention, media = gated(llm), pictures()
    whole = logits(llm, attention, DOCUMENT, media)
    with torch.no_grad(), attention.conditioned_on(media, media_counts(DOCUMENT == PICTURE)):
        cache, steps = DynamicCache(config=llm.config), []
        for part in DOCUMENT.split([4, 1, 3, 2], dim=1):
            steps.append(llm(part, **{cache_argument(): cache}).logits)
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)


def test_gates_learn_first_and_then_everything():
    llm = build()
    attention, ids = gated(llm, opened=False), DOCUMENT

    def trainable():
        attention.zero_grad()
        with attention.conditioned_on(pictures(), media_counts(ids == PICTURE)):
            llm(ids, labels=ids).loss.backward()
        return {n for n, p in attention.named_parameters() if p.grad.abs().sum() > 0}

    assert trainable() == {n for n, _ in attention.named_parameters() if n.endswith("gate")}
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter -= 0.1 * parameter.grad
    assert trainable() == {n for n, _ in attention.named_parameters()}
    assert all(p.grad is None for p in llm.parameters())


def test_media_that_lack_teach():
    llm = build()
    attention = gated(llm)
    counts = media_counts(DOCUMENT == PICTURE)
    with (
        pytest.raises(PolysenseError, match=r"sample 0 of the batch has 3 places .* but 2 are"),
        attention.conditioned_on(pictures(count=2), counts),
    ):
        pass
    with (
        pytest.raises(PolysenseError, match="media of 2 samples were given for 1 prompts"),
        attention.conditioned_on(pictures(batch=2), counts),
    ):
        pass
    with pytest.raises(PolysenseError, match="every_n_layers=9: the LLM has 4 layers"):
        GatedCrossAttention(llm, 20, every_n_layers=9)


@torch.no_grad()
def test_a_block_is_flamingos_formula():
    """Both gates by tanh; attention and feed-forward network each behind a norm of its own."""
    torch.manual_seed(2)
    block = GatedCrossAttentionBlock(16, 20, 2, 24)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x, media, everyone = torch.randn(2, 3, 16), torch.randn(2, 5, 20), torch.ones(2, 1, 3, 5)
    key, value = block.remember(media)
    query = block.query(block.norm(x))
    heads = [slice(0, 64), slice(64, 128)]
    scores = [(query[..., h] @ key[..., h].mT / 8).softmax(-1) @ value[..., h] for h in heads]
    expected = x + block.attention_gate.tanh() * block.out(torch.cat(scores, dim=-1))
    norm, inner, activation, outer = block.feedforward
    fed = outer(activation(inner(norm(expected))))
    expected = expected + block.feedforward_gate.tanh() * fed
    torch.testing.assert_close(block(x, key, value, everyone.bool()), expected)


@torch.no_grad()
def test_a_layer_looks_at_the_last_signal_before_a_position_alone():
    attention = gated(build())
    ids = torch.tensor([[PICTURE, 11, PICTURE, 12]])
    hidden, media = torch.randn(1, 4, 32), pictures(count=2)
    other = media.clone()
    other[:, 0] += 1
    name = next(iter(attention.blocks))
    found = [
        attention._look(name, hidden, MediaContext.of(given, media_counts(ids == PICTURE)))
        for given in (media, other)
    ]
    assert torch.equal(found[0][:, 2:], found[1][:, 2:])
    assert not torch.allclose(found[0][:, :2], found[1][:, :2], atol=1e-3)
