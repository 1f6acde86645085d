"""A conversation that keeps what it made answers as one that computes everything anew."""

from dataclasses import replace

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from transformers import DynamicCache, MistralConfig

from polysense.config import FusionConfig
from polysense.errors import PolysenseError
from polysense.serving.cached_conversation import Session, can_be_cut, common_length
from polysense.training.run import build, resolve

KINDS = {
    "input": FusionConfig("input"),
    "cross_attention": FusionConfig("cross_attention", every_n_layers=1, heads=2, feedforward=16),
    "llama_adapter": FusionConfig("llama_adapter", layers=2, prompts=3),
    "visual_expert": FusionConfig("visual_expert"),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("session")


def made(parts, kind="input"):
    """A session over a model whose interaction is at random, so that signals count."""
    config = tiny_config(parts, kind="qformer")
    connector = replace(config.model.connector, width=8, queries=3)
    changed = replace(config.model, fusion=KINDS[kind], connector=connector)
    torch.manual_seed(0)
    model, processor = build(resolve(replace(config, model=changed)))
    with torch.no_grad():
        for name, weight in model.fusion.named_parameters():
            weight.fill_(0.7) if name.endswith("gate") else weight.normal_(std=0.2)
    return Session(model.eval(), processor)


def said(text, *colours):
    shown = [{"type": "image", "image": Image.new("RGB", (30, 20), c)} for c in colours]
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def anew(session, messages):
    batch = session.processor.apply_chat_template(messages)
    ids = session.model.generate(**batch, max_new_tokens=6, do_sample=False)
    return ids[0, batch["input_ids"].shape[1] :]


def counted(session, monkeypatch):
    """Note how many positions the LLM reads at a time, and how many signals are encoded."""
    read, encoded = [], []
    llm, extract = session.model.llm, session.model.extract_features
    llm.get_decoder().layers[0].register_forward_pre_hook(
        lambda _, args: read.append(args[0].shape[1])
    )
    monkeypatch.setattr(
        session.model, "extract_features", lambda m, s: (encoded.append(len(s)), extract(m, s))[1]
    )
    return read, encoded


@pytest.mark.parametrize("kind", KINDS)
def test_turns_are_answered_as_if_all_were_computed_anew(parts, kind, monkeypatch):
    session, other = made(parts, kind), made(parts, kind)
    anew(session, [said("Hm?", "red")])  # what is found out by trying the LLM is found out now
    read, encoded = counted(session, monkeypatch)
    messages, before = [], 0
    turns = (said("What is this?", "red"), said("And these?", "blue", "green"), said("Why?"))
    for turn in turns:
        messages = [*messages, turn]
        read.clear()
        answer = session.generate(messages, max_new_tokens=6, do_sample=False)
        assert torch.equal(answer, anew(other, messages))
        length = len(session.processor.apply_chat_template(messages)["input_ids"][0])
        assert set(read[1:]) <= {1}
        assert read[0] <= length - before  # the text of the turns before is not read again
        before = length
        reply = session.processor.decode(answer)
        messages.append({"role": "assistant", "content": reply or "Hm."})
    assert encoded == [1, 2]  # each signal once


def test_another_conversation_starts_anew(parts):
    session = made(parts)
    first, second = [said("What is this?", "red")], [said("What is this?", "blue")]
    one = session.generate(first, max_new_tokens=6, do_sample=False)
    session.generate(second, max_new_tokens=6, do_sample=False)
    assert len(session.embeddings["image"]) == 1
    seen = session.embeddings["image"]
    assert torch.equal(session.generate(first, max_new_tokens=6, do_sample=False), one)
    assert not torch.equal(session.embeddings["image"], seen)
    again = session.generate(first, max_new_tokens=6, do_sample=False)  # the same question again
    assert torch.equal(again, one)


def test_a_turn_that_breaks_off_is_not_remembered(parts, monkeypatch):
    session = made(parts)
    asked = [said("What is this?", "red")]
    answer = session.generate(asked, max_new_tokens=6, do_sample=False)
    bad = {"role": "user", "content": [{"type": "image", "image": "none.png"}]}
    with pytest.raises(PolysenseError, match=r"none\.png"):
        session.generate([*asked, bad], max_new_tokens=6)
    generate = session.model.generate
    monkeypatch.setattr(session.model, "generate", lambda *a, **o: 1 / 0)
    more = [*asked, {"role": "assistant", "content": "Red."}, said("Why?")]
    with pytest.raises(ZeroDivisionError):
        session.generate(more, max_new_tokens=6)
    monkeypatch.setattr(session.model, "generate", generate)
    found = session.generate(more, max_new_tokens=6, do_sample=False)
    assert torch.equal(found, anew(session, more))
    assert torch.equal(session.generate(asked, max_new_tokens=6, do_sample=False), answer)


def test_states_that_cannot_be_cut_are_not_kept(parts, monkeypatch):
    windows = MistralConfig(num_hidden_layers=2, sliding_window=4)
    assert can_be_cut(DynamicCache(config=made(parts).model.llm.config))
    assert not can_be_cut(DynamicCache(config=windows))
    session = made(parts)
    monkeypatch.setattr("polysense.serving.cached_conversation.can_be_cut", lambda _: False)
    asked = [said("What is this?", "red")]
    answer = session.generate(asked, max_new_tokens=6, do_sample=False)
    assert torch.equal(answer, anew(session, asked))
    assert session.cache is None


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_static_cache_says_the_same(parts, device):
    """On a GPU transformers compiles the decoding step of a static cache."""
    session = made(parts)
    model = session.model.to(device)
    batch = session.processor.apply_chat_template([said("What is this?", "red")]).to(device)
    options = {"max_new_tokens": 6, "do_sample": False}
    static = model.generate(**batch, **options, cache_implementation="static")
    assert torch.equal(static, model.generate(**batch, **options))


def test_what_two_texts_begin_with():
    assert common_length([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_length([1, 2], [1, 2, 3]) == 2
    assert common_length([], [1]) == 0
