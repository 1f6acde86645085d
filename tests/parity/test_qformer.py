"""The Q-Former against transformers' BLIP-2 and InstructBLIP, and who sees whom under its masks."""

import pytest
import torch
from transformers import (
    Blip2QFormerConfig,
    Blip2QFormerModel,
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
)

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.importers.qformer_names import load_transformers_qformer
from polysense.model.connectors.build import build_connector
from polysense.model.connectors.qformer import TEXT_POSITIONS, QFormer, attention_mode_mask

QUERIES, VOCABULARY = 4, 40
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48,
    "encoder_hidden_size": 20, "vocab_size": VOCABULARY,
}  # fmt: skip


def build(vocabulary=VOCABULARY, **options):
    torch.manual_seed(0)
    return QFormer(
        20, 32, layers=4, heads=4, queries=QUERIES, feedforward=48, vocabulary=vocabulary, **options
    ).eval()


def shaken(module):
    """Every weight random, so that a tensor in the wrong place shows."""
    torch.manual_seed(5)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    return module.eval()


def blip2(text):
    """transformers' Q-Former and the tensors of a checkpoint that holds it."""
    theirs = shaken(Blip2QFormerModel(Blip2QFormerConfig(**SIZES, use_qformer_text_input=text)))
    tensors = {f"qformer.{name}": tensor for name, tensor in theirs.state_dict().items()}
    tensors["query_tokens"] = torch.randn(1, QUERIES, 32)
    tensors["vision_model.post_layernorm.weight"] = torch.ones(20)  # no part of the Q-Former
    if text:
        tensors["embeddings.word_embeddings.weight"] = torch.randn(VOCABULARY, 32)
        tensors["embeddings.position_embeddings.weight"] = torch.randn(TEXT_POSITIONS, 32)
    return theirs, tensors


def instructblip():
    theirs = shaken(InstructBlipQFormerModel(InstructBlipQFormerConfig(**SIZES)))
    tensors = {f"qformer.{name}": tensor for name, tensor in theirs.state_dict().items()}
    tensors["query_tokens"] = torch.randn(1, QUERIES, 32)
    return theirs, tensors


def text():
    ids = torch.randint(1, VOCABULARY, (2, 6))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return ids, mask


@torch.inference_mode()
def test_blip2_without_text():
    theirs, tensors = blip2(text=False)
    ours = build(vocabulary=None)
    load_transformers_qformer(ours, tensors)
    features = torch.randn(2, 7, 20)
    queries = tensors["query_tokens"].expand(2, -1, -1)
    expected = theirs(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
    assert torch.allclose(ours(features), expected, atol=1e-5)


@torch.inference_mode()
def test_blip2_with_text_and_text_alone():
    theirs, tensors = blip2(text=True)
    ours = build()
    load_transformers_qformer(ours, tensors)
    features, (ids, mask) = torch.randn(2, 7, 20), text()
    queries = tensors["query_tokens"].expand(2, -1, -1)
    words = tensors["embeddings.word_embeddings.weight"][ids]
    words = words + tensors["embeddings.position_embeddings.weight"][:6]
    seen = torch.cat([torch.ones(2, QUERIES, dtype=mask.dtype), mask], dim=1)
    expected = theirs(
        query_embeds=torch.cat([queries, words], dim=1), query_length=QUERIES,
        attention_mask=seen, encoder_hidden_states=features,
    ).last_hidden_state  # fmt: skip
    real = seen.bool()
    assert torch.allclose(ours(features, ids, mask)[real], expected[real], atol=1e-5)
    alone = theirs(query_embeds=words, query_length=0, attention_mask=mask).last_hidden_state
    found = ours(None, ids, mask)
    assert torch.allclose(found[mask.bool()], alone[mask.bool()], atol=1e-5)


@torch.inference_mode()
def test_instructblip():
    theirs, tensors = instructblip()
    ours = build()
    load_transformers_qformer(ours, tensors)
    features, (ids, mask) = torch.randn(2, 7, 20), text()
    seen = torch.cat([torch.ones(2, QUERIES, dtype=mask.dtype), mask], dim=1)
    expected = theirs(
        ids, attention_mask=seen, query_embeds=tensors["query_tokens"].expand(2, -1, -1),
        encoder_hidden_states=features,
    ).last_hidden_state  # fmt: skip
    real = seen.bool()
    assert torch.allclose(ours(features, ids, mask)[real], expected[real], atol=1e-5)


def test_loading_is_strict():
    _, tensors = blip2(text=True)
    former, before = build(), build().state_dict()
    short = {name: t for name, t in tensors.items() if "layer.2.crossattention" not in name}
    odd = {**tensors, "qformer.encoder.layer.1.crossattention.output.dense.bias": torch.ones(32)}
    wide = {**tensors, "query_tokens": torch.ones(1, 9, 32)}
    for given, words in (
        (short, r"missing \['qformer.encoder.layer.2.crossattention"),
        (odd, r"not placed \['qformer.encoder.layer.1.crossattention.output.dense.bias'\] \(1\)"),
        (wide, r"query_tokens has shape \[1, 9, 32\]; the model's queries needs \[4, 32\]"),
    ):
        with pytest.raises(PolysenseError, match=words):
            load_transformers_qformer(former, given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in former.state_dict().items())
    with pytest.raises(PolysenseError, match="not placed"):
        load_transformers_qformer(build(vocabulary=None), tensors)
    older = {**tensors, "embeddings.position_ids": torch.arange(TEXT_POSITIONS)[None]}
    load_transformers_qformer(former, older)


def test_masks_as_drawn_in_the_paper():
    """Figure 2 of BLIP-2, for two queries, two words and a padded place that sees itself too."""
    padded = torch.tensor([[1, 1, 0]])
    drawn = {
        "joint": ["11110", "11110", "11110", "11110", "11111"],
        "separate": ["11000", "11000", "00110", "00110", "00111"],
        "causal": ["11000", "11000", "11100", "11110", "11111"],
    }
    for attention_mode, rows in drawn.items():
        expected = [[place == "1" for place in row] for row in rows]
        assert attention_mode_mask(attention_mode, 2, padded)[0, 0].tolist() == expected, (
            attention_mode
        )


@torch.inference_mode()
def test_what_each_mask_lets_through():
    former, features, (ids, mask) = shaken(build()), torch.randn(2, 7, 20), text()
    alone, other = former(features), ids.clone()
    other[:, 3] = (ids[:, 3] + 1) % VOCABULARY
    found, changed = (
        {
            attention_mode: former(features, words, mask, attention_mode=attention_mode)
            for attention_mode in ("separate", "joint", "causal")
        }
        for words in (ids, other)
    )
    for attention_mode in ("separate", "causal"):  # no text leaks into the queries
        assert torch.allclose(found[attention_mode][:, :QUERIES], alone, atol=1e-5)
    assert not torch.allclose(found["joint"][:, :QUERIES], alone, atol=1e-3)
    real = mask.bool()
    text_alone = former(None, ids, mask)
    assert torch.allclose(found["separate"][:, QUERIES:][real], text_alone[real], atol=1e-5)
    before = slice(QUERIES, QUERIES + 3)  # the words before the one that changed
    assert torch.allclose(found["causal"][:, before], changed["causal"][:, before], atol=1e-5)
    assert not torch.allclose(found["joint"][:, before], changed["joint"][:, before], atol=1e-3)
    blind = former(features + 1, ids, mask, attention_mode="causal")
    assert not torch.allclose(blind[:, before], found["causal"][:, before], atol=1e-3)


def test_the_connector_follows_an_instruction():
    config = ConnectorConfig(
        "qformer", width=32, heads=4, layers=2, queries=5, vocabulary=VOCABULARY
    )
    connector = build_connector(config, ["image"], 20, 24, 1.0)
    features, (ids, mask) = torch.randn(2, 7, 20), text()
    shaken(connector)
    plain = connector(features, "image")
    led = connector(features, "image", text_ids=ids, text_mask=mask)
    assert led.shape == plain.shape == (2, connector.num_embeddings(7), 24)
    assert not torch.allclose(led, plain, atol=1e-3)
    padded = connector(features, "image", text_ids=ids * mask, text_mask=mask)
    assert torch.allclose(padded, led, atol=1e-5)
    led.pow(2).sum().backward()
    silent = {name for name, p in connector.named_parameters() if p.grad is None}
    assert not silent


def test_text_that_cannot_be_read_teaches():
    features, (ids, _) = torch.randn(2, 7, 20), text()
    with pytest.raises(PolysenseError, match=r"set connector\.vocabulary"):
        build(vocabulary=None)(features, ids)
    with pytest.raises(PolysenseError, match="has 513 ids; the limit is 512"):
        build()(features, torch.ones(2, 513, dtype=torch.long))
    with pytest.raises(PolysenseError, match="features, text_ids, or both"):
        build()(None)
